/** Writes man pages and completion scripts into the directory that is named; part of the build. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { completion, SHELLS } from '../manual/completion.js';
import { manPages } from '../manual/man.js';
import { createProgram } from '../program.js';

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: write.js DIRECTORY');
for (const part of ['man', 'completion']) mkdirSync(join(directory, part), { recursive: true });
for (const { file, text } of manPages(createProgram())) {
  writeFileSync(join(directory, 'man', file), text);
}
for (const shell of SHELLS) {
  const script = completion(createProgram(), shell);
  writeFileSync(join(directory, 'completion', `sockswitch.${shell}`), `${script}\n`);
}
