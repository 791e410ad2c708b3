/**
 * Puts the table of attacks into docs/threat-model.md, out of what runs of the tests recorded (support/results.ts).
 *
 *   npm run docs:threat-model
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ATTACKS, SCM_RIGHTS, SCM_RIGHTS_LISTEN, SYSTEMS, type System } from './catalogue.js';
import { readResults, resultsPath, type SecurityRecord, type Verdict } from './support/results.js';

const DOCUMENT = join(process.cwd(), 'docs', 'threat-model.md'); // npm runs scripts at the top
const BEGIN = '<!-- attacks: written by npm run docs:threat-model -->';
const END = '<!-- end of attacks -->';

const HEADS: Readonly<Record<System, string>> = {
  pasta: 'pasta',
  slirp4netns: 'slirp4netns',
  bypass4netns: 'bypass4netns',
  'sockswitch-pasta': 'sockswitch on pasta',
  'sockswitch-slirp4netns': 'sockswitch on slirp4netns',
};
const WORDS: Readonly<Record<Verdict, string>> = {
  blocked: 'blocked',
  reached: '**reached**',
  ended: 'breaks down',
  missing: 'not packaged',
};

/** What race_address says where the network leads to the host by itself. */
const OPEN_ANYWAY = 'open to the container anyway';

function table(records: readonly SecurityRecord[]): string {
  const cells = new Map(
    records.map(({ attack, system, verdict, note }) => [
      `${attack}/${system}`,
      note === OPEN_ANYWAY ? 'open anyway' : WORDS[verdict],
    ]),
  );
  const rows = [...ATTACKS, SCM_RIGHTS, SCM_RIGHTS_LISTEN].map(({ id, title }) => [
    title,
    ...SYSTEMS.map((system) => cells.get(`${id}/${system}`) ?? 'not tried'),
  ]);
  const head = ['attack', ...SYSTEMS.map((system) => HEADS[system])];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function main(): number {
  const results = readResults();
  if (results === undefined) {
    console.error(`${resultsPath()} is missing: run "npx vitest run --project security" first`);
    return 1;
  }
  const text = readFileSync(DOCUMENT, 'utf8');
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) {
    console.error(`${DOCUMENT} has lost its markers: ${BEGIN} and ${END}`);
    return 1;
  }
  writeFileSync(DOCUMENT, `${before}${BEGIN}\n${table(results.records)}\n${END}${after}`);
  return 0;
}

process.exitCode = main();
