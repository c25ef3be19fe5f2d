// Monaco's language services run in workers. Vite emits each as a file of its own, so that `worker-src 'self'` holds:
// without this table Monaco would fall back to blob: URLs.
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker';
import JsonWorker from 'monaco-editor/esm/vs/language/json/json.worker.js?worker';
import GraphQLWorker from 'monaco-graphql/esm/graphql.worker.js?worker';

const WORKERS = { json: JsonWorker, graphql: GraphQLWorker };

globalThis.MonacoEnvironment = {
  getWorker(_moduleId, label) {
    return new (WORKERS[label] ?? EditorWorker)();
  },
};
