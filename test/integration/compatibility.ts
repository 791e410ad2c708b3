/**
 * Makes docs/compatibility.md out of what a run of the integration tests recorded (support/results.ts).
 *
 *   npm run docs:compatibility              writes the file
 *   npm run docs:compatibility -- --check   fails when the file does not say what the run showed
 *
 * The versions in the document are those of the run that wrote it; a check does not compare them.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { render, withoutVersions } from './support/document.js';
import { resultsPath, resultsSchema } from './support/results.js';

const DOCUMENT = fileURLToPath(new URL('../../docs/compatibility.md', import.meta.url));

function main(): number {
  const check = process.argv.includes('--check');
  const path = resultsPath();
  if (!existsSync(path)) {
    console.error(`${path} is missing: run "npm run test:integration" first`);
    return 1;
  }
  const results = resultsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  const { text, missing } = render(results);
  if (missing.length > 0) {
    console.error(
      `the run did not cover everything, so nothing is written:\n${missing.join('\n')}`,
    );
    return 1;
  }
  if (!check) {
    writeFileSync(DOCUMENT, text);
    return 0;
  }
  const present = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : '';
  if (withoutVersions(present) === withoutVersions(text)) return 0;
  console.error('docs/compatibility.md no longer matches the run: npm run docs:compatibility');
  return 1;
}

process.exitCode = main();
