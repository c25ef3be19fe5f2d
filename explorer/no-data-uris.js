import { createHash } from 'node:crypto';

const IN_CSS = /url\(\s*(["']?)data:([\w/+.-]+)((?:;[\w=-]+)*),(.*?)\1\s*\)/g;
const IN_JS = /data:(?:image|font|text)\/[\w.+-]+[;,]/;
const EXTENSIONS = { 'image/svg+xml': 'svg', 'image/png': 'png', 'font/ttf': 'ttf', 'font/woff': 'woff', 'font/woff2': 'woff2' };

const SQUIGGLES = /monaco-editor\/esm\/vs\/editor\/browser\/widget\/codeEditor\/codeEditorWidget\.js$/;
const SQUIGGLE = /background: url\("data:image\/svg\+xml,\$\{get\w+SVGData\((\w+)\)\}"\) [\w-]+ bottom left;/g;

/**
 * A Vite plugin that keeps data: URIs out of the build, for the content security policy allows none: those in style
 * sheets become files, and Monaco's wavy lines, drawn in script as data: images, become dotted borders. A data: URI
 * that neither rule catches fails the build.
 */
export function noDataUris({ base }) {
  return {
    name: 'no-data-uris',
    enforce: 'post',

    transform(code, id) {
      if (!SQUIGGLES.test(id)) return null;
      return { code: code.replace(SQUIGGLE, 'border-bottom: 2px dotted ${$1}; box-sizing: border-box;'), map: null };
    },

    generateBundle(_options, bundle) {
      const emit = (mime, parameters, body) => {
        const extension = EXTENSIONS[mime] ?? this.error(`no file extension is known for data: URIs of type ${mime}`);
        const source = parameters.includes(';base64') ? Buffer.from(body, 'base64') : decodeURIComponent(body);
        const fileName = `assets/${createHash('sha256').update(source).digest('hex').slice(0, 12)}.${extension}`;
        this.emitFile({ type: 'asset', fileName, source });
        return base + fileName;
      };
      for (const output of Object.values(bundle)) {
        if (output.type === 'chunk' && IN_JS.test(output.code)) this.error(`${output.fileName} holds a data: URI`);
        if (output.type !== 'asset' || !output.fileName.endsWith('.css')) continue;
        output.source = String(output.source).replace(IN_CSS, (_uri, _quote, ...parts) => `url(${emit(...parts)})`);
      }
    },
  };
}
