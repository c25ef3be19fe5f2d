import { useGraphiQL } from '@graphiql/react';
import { useEffect, useRef, useState } from 'react';
import { createPortal } from 'react-dom';
import { NOBODY, PASTED, actAs, acting, config, isKnown, labelOf, pasteToken } from './acting.js';
import { identityFor } from './shelf.js';
import { useTabStore } from './tab-store.js';

/** "Act as …": whose token goes with each request. It stands beside the Variables and Headers tabs. */
export function ActAs() {
  const [bar, setBar] = useState(null);
  useEffect(() => setBar(document.querySelector('.graphiql-editor-tools')), []);
  return bar && createPortal(<Switch />, bar);
}

function Switch() {
  const { identities } = useTabStore(config);
  const { name, pastedToken, refused } = useTabStore(acting);
  const select = useRef(null);
  useEffect(() => glow(select.current), [name]);
  return (
    <div className="act-as" data-refused={refused || undefined}>
      <label className="act-as-name">
        Act as
        <select ref={select} value={name} onChange={(event) => actAs(event.target.value)}>
          {identities.map((identity) => (
            <option key={identity.name} value={identity.name}>
              {identity.label}
            </option>
          ))}
          <option value={NOBODY}>Nobody (no token)</option>
          <option value={PASTED}>A token of my own…</option>
        </select>
      </label>
      {name === PASTED && (
        <input
          type="password"
          aria-label="Access token"
          placeholder="Paste an access token"
          autoComplete="off"
          value={pastedToken}
          onChange={(event) => pasteToken(event.target.value)}
        />
      )}
      {refused && <span role="status">The token was refused{name === PASTED && ': paste a fresh one'}.</span>}
      <Suggestion current={name} />
    </div>
  );
}

/** When the document in the editor says `# as: …` and another identity acts, offers to switch. */
function Suggestion({ current }) {
  const query = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.query);
  const wanted = identityFor(query);
  if (!wanted || wanted === current || current === PASTED || !isKnown(wanted)) return null;
  return (
    <button type="button" className="act-as-suggestion" onClick={() => actAs(wanted)}>
      Written for {labelOf(wanted)}: switch
    </button>
  );
}

/** Draws the eye to an identity that an example has just switched. */
function glow(element) {
  element.animate({ boxShadow: ['0 0 0 4px var(--leaf)', '0 0 0 0 transparent'] }, { duration: 900, easing: 'ease-out' });
}
