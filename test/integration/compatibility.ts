/**
 * Makes docs/compatibility.md out of what a run of the integration tests recorded (support/results.ts).
 *
 *   npm run docs:compatibility              writes the file
 *   npm run docs:compatibility -- --check   fails when the file does not say what the run showed
 *
 * The end of a whole run checks it, too (support/global-setup.ts). The versions in the document are those of
 * the run that wrote it; they are not compared. To be run at the top of the repository.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { DOCUMENT, differs, render } from './support/document.js';
import { resultsPath, resultsSchema } from './support/results.js';

function main(): number {
  const path = resultsPath();
  if (!existsSync(path)) {
    console.error(`${path} is missing: run "npm run test:integration" first`);
    return 1;
  }
  const { text, missing } = render(resultsSchema.parse(JSON.parse(readFileSync(path, 'utf8'))));
  if (missing.length > 0) {
    console.error(
      `the run did not cover everything, so nothing is written:\n${missing.join('\n')}`,
    );
    return 1;
  }
  if (!process.argv.includes('--check')) {
    writeFileSync(DOCUMENT, text);
    return 0;
  }
  if (!differs(text)) return 0;
  console.error(`${DOCUMENT} does not say what the run showed: npm run docs:compatibility`);
  return 1;
}

process.exitCode = main();
