import { pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { acting, actAs, config, isKnown, labelOf } from './acting.js';
import { progress } from './progress.js';
import { lookUp, recall } from './recall.js';
import { CHAPTERS, SHELF, entryThatAnswers } from './shelf.js';
import { useTabStore } from './tab-store.js';

export const SHELF_PLUGIN = { title: 'Examples', icon: ShelfIcon, content: ShelfPanel };

function ShelfPanel() {
  useTabStore(config);
  const open = useOpenEntry();
  const current = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.query?.trimEnd());
  const done = useTabStore(progress);
  return (
    <section className="shelf" aria-label="Examples">
      <h2>Examples</h2>
      <p>
        The life of a subscription in {SHELF.length} operations. Open one, press ▶, go on to the next; values travel from step to
        step by themselves.
      </p>
      {CHAPTERS.map(([chapter, entries]) => (
        <div key={chapter} className="shelf-chapter">
          <h3>{chapter}</h3>
          <ol>
            {entries.map((entry) => (
              <Entry
                key={entry.step}
                entry={entry}
                isOtherActor={entry.identity !== SHELF[entry.step - 2]?.identity}
                isCurrent={entry.query === current}
                isDone={done.includes(entry.operationName)}
                onOpen={() => open(entry)}
              />
            ))}
          </ol>
        </div>
      ))}
    </section>
  );
}

function Entry({ entry, isOtherActor, isCurrent, isDone, onOpen }) {
  return (
    <li className="shelf-entry" data-current={isCurrent || undefined} data-done={isDone || undefined}>
      <button type="button" onClick={onOpen} aria-current={isCurrent ? 'step' : undefined} data-step={entry.step}>
        <span className="shelf-step">{isDone ? '✓' : entry.step}</span>
        <span className="shelf-title">{entry.title}</span>
        {isOtherActor && <span className="shelf-identity">as {entry.identity}</span>}
      </button>
      {isCurrent && (
        <div className="shelf-about">
          <p>{entry.text}</p>
          <Carried entry={entry} />
          <Actor name={entry.identity} />
        </div>
      )}
    </li>
  );
}

/** Which values this entry takes from earlier answers, and whether they are there. Never the values themselves. */
function Carried({ entry }) {
  useTabStore(recall);
  return entry.placeholders.map((path) => (
    <p key={path} className="shelf-carried" data-known={lookUp(path) !== undefined || undefined}>
      <code>{breakable(path)}</code> {lookUp(path) === undefined ? missingFrom(path, entry) : 'is filled in when you run it.'}
    </p>
  ));
}

function breakable(path) {
  return path.split('.').flatMap((key, index) => (index ? ['.', <wbr key={index} />, key] : [key]));
}

function missingFrom(path, entry) {
  const source = entryThatAnswers(path, entry);
  return source ? `is still missing: run step ${source.step} first.` : 'is still missing.';
}

function Actor({ name }) {
  const current = useTabStore(acting).name;
  if (current === name) return <p className="shelf-actor">Acting as {labelOf(name)}.</p>;
  return isKnown(name) ? null : <p className="shelf-actor">Written for {name}: paste a token beside the header editor.</p>;
}

/** Opens an entry in a tab of its own (its old one, if it is still unchanged) and acts as the one it is written for. */
function useOpenEntry() {
  const { addTab, changeTab, updateActiveTabValues } = useGraphiQLActions();
  const { tabs, queryEditor, variableEditor } = useGraphiQL(pick('tabs', 'queryEditor', 'variableEditor'));
  return ({ query, variables, identity }) => {
    if (isKnown(identity)) actAs(identity);
    const opened = tabs.findIndex((tab) => tab.query?.trimEnd() === query && (tab.variables ?? '') === variables);
    if (opened >= 0) {
      changeTab(opened);
      return;
    }
    addTab();
    queryEditor?.setValue(query);
    variableEditor?.setValue(variables);
    updateActiveTabValues({ query, variables });
  };
}

function ShelfIcon(props) {
  return (
    <svg viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" {...props}>
      <path d="M3 4v11M6.500 4v11M10 4v11M13 5l3.500 10M2 17.250h16" />
    </svg>
  );
}
