import { Kind, parse } from 'graphql';
import { placeholdersIn } from './recall.js';

/*
 * The shelf: every shelf/NN-name.graphql with its NN-name.variables.json, in order of NN. Each document starts with
 * comment lines: the title first, then sentences about what it shows, and two labelled lines, `# chapter: …` (the
 * heading it stands under) and `# as: …` (an identity's name, or nobody). It holds exactly one named operation.
 */
const DOCUMENTS = import.meta.glob('../shelf/*.graphql', { query: '?raw', import: 'default', eager: true });
const VARIABLES = import.meta.glob('../shelf/*.variables.json', { query: '?raw', import: 'default', eager: true });
const LABELLED = /^(chapter|as):\s*(.+)$/;

export const SHELF = Object.keys(DOCUMENTS).sort().map(readEntry);

/** The shelf under its chapters: [[chapter, entries], …]. */
export const CHAPTERS = [...Map.groupBy(SHELF, (entry) => entry.chapter)];

export function findEntry(operationName) {
  return SHELF.find((entry) => entry.operationName === operationName);
}

/** The operation to run for the value at `path`: the nearest before `entry` that answers it, else any that does. */
export function entryThatAnswers(path, entry) {
  const candidates = SHELF.filter((candidate) => candidate !== entry && selects(candidate.operation, path.split('.')));
  const earlier = candidates.filter((candidate) => entry && candidate.step < entry.step);
  return earlier.at(-1) ?? candidates[0];
}

/** The identity named in a document's `# as:` line, if it has one: documents in the editor may be anything. */
export function identityFor(query) {
  return /^#\s*as:\s*(\S+)/m.exec(query ?? '')?.[1];
}

function readEntry(path, index) {
  const query = DOCUMENTS[path].trimEnd();
  const variables = VARIABLES[path.replace(/\.graphql$/, '.variables.json')].trim();
  const comments = query.split('\n\n', 1)[0].split('\n').map((line) => line.replace(/^#\s*/, ''));
  const [title, ...rest] = comments.filter((line) => !LABELLED.test(line));
  const labels = Object.fromEntries(comments.flatMap((line) => (LABELLED.test(line) ? [LABELLED.exec(line).slice(1)] : [])));
  const operation = parse(query).definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  return {
    step: index + 1,
    title,
    text: rest.join(' '),
    chapter: labels.chapter,
    identity: labels.as,
    query,
    variables: variables === '{}' ? '' : variables,
    placeholders: placeholdersIn(JSON.parse(variables)),
    operation,
    operationName: operation.name.value,
  };
}

function selects({ selectionSet }, [key, ...deeper]) {
  if (key === undefined) return true;
  if (/^\d+$/.test(key)) return selects({ selectionSet }, deeper);
  const field = selectionSet?.selections.find((selection) => (selection.alias ?? selection.name)?.value === key);
  return field !== undefined && selects(field, deeper);
}
