import { DOC_EXPLORER_PLUGIN } from '@graphiql/plugin-doc-explorer';
import { createPortal } from 'react-dom';
import { config } from './acting.js';
import { SHELF_PLUGIN } from './shelf-panel.jsx';
import markUrl from './mark.svg';
import { useTabStore } from './tab-store.js';

/** The line across the top: whose API this is, which kind of money it moves, and the way to the manual. */
export function Masthead() {
  const { environment, sandbox, endpoint } = useTabStore(config);
  return createPortal(
    <>
      <span className="masthead-name">
        <img src={markUrl} alt="" width="26" height="26" /> Perennial
      </span>
      <span className="masthead-what">Subscription billing · GraphQL explorer</span>
      {sandbox && (
        <span className="badge badge-sandbox" title="Cards and money are simulated on this machine">
          SANDBOX
        </span>
      )}
      {environment && <span className="badge">{environment}</span>}
      <nav aria-label="Panels">
        <code className="masthead-endpoint">POST {endpoint}</code>
        <button type="button" onClick={() => showPanel(SHELF_PLUGIN.title)}>
          Examples
        </button>
        <button type="button" onClick={() => showPanel(DOC_EXPLORER_PLUGIN.title)}>
          API docs
        </button>
      </nav>
    </>,
    document.getElementById('masthead'),
  );
}

// GraphiQL keeps "which panel" in its store but "is the panel open" inside its own component; the side bar's button is
// the one door to both. When the panel is open already, there is no "Show …" button and nothing to do.
function showPanel(title) {
  document.querySelector(`.graphiql-sidebar [aria-label="Show ${title}"]`)?.click();
}
