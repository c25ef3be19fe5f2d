import { explorerPlugin } from '@graphiql/plugin-explorer';
import { pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { useEffect } from 'react';
import { ActAs } from './act-as.jsx';
import { fetcher } from './fetcher.js';
import { kept } from './kept.js';
import { Masthead } from './masthead.jsx';
import { SHELF } from './shelf.js';
import { SHELF_PLUGIN } from './shelf-panel.jsx';

const PLUGINS = [SHELF_PLUGIN, HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];
const [FIRST] = SHELF;
const FIRST_TAB = [{ query: FIRST.query, variables: FIRST.variables }];

/** GraphiQL with our shelf and identities. Headers are never persisted: one of them may be a token. */
export function Workbench() {
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={PLUGINS}
      storage={kept}
      visiblePlugin={SHELF_PLUGIN}
      defaultTabs={FIRST_TAB}
      defaultQuery=""
      defaultEditorToolsVisibility
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
      inputValueDeprecation
    >
      <GraphiQL.Logo>
        <span />
      </GraphiQL.Logo>
      <Masthead />
      <ActAs />
      <Comforts />
    </GraphiQL>
  );
}

/** Small things GraphiQL leaves undone. */
function Comforts() {
  const editors = useGraphiQL(pick('queryEditor', 'variableEditor', 'headerEditor', 'responseEditor'));
  const { activeTabIndex, theme } = useGraphiQL(pick('activeTabIndex', 'theme'));
  const { setTheme } = useGraphiQLActions();

  // Long lines wrap.
  useEffect(() => {
    for (const editor of Object.values(editors)) editor?.updateOptions({ wordWrap: 'on', fontSize: 14 });
  }, [editors]);

  // The tab just opened is brought into the picture.
  useEffect(() => {
    document.getElementById(`graphiql-session-tab-${activeTabIndex}`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [activeTabIndex]);

  // The editors follow the system's theme when it changes, not only when the page loads.
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const follow = () => setTheme(theme);
    dark.addEventListener('change', follow);
    return () => dark.removeEventListener('change', follow);
  }, [theme, setTheme]);

  return null;
}
