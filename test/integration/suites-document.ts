/**
 * Writes what a run of other people's test suites found out into docs/compatibility.md: `npm run docs:suites`, after
 * `npm run test:programs`, at the top of the repository.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { DOCUMENT, withSuites } from './support/document.js';
import { suiteResults } from './support/suite-results.js';

const results = suiteResults();
if (results.length === 0) {
  console.error('no results: run "npm run test:programs" first, with the same LAB_NAME');
  process.exitCode = 1;
} else {
  writeFileSync(DOCUMENT, withSuites(readFileSync(DOCUMENT, 'utf8'), results));
}
