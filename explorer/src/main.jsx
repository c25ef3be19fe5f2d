import '@graphiql/react/font/fira-code.css';
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import '@graphiql/plugin-explorer/style.css';
import 'graphiql/graphiql.css';
import './style.css';
import './workers.js';
import { createRoot } from 'react-dom/client';
import { loadConfig } from './acting.js';
import { Workbench } from './workbench.jsx';

await loadConfig();
createRoot(document.getElementById('workbench')).render(<Workbench />);
