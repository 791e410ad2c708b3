#!/usr/bin/env node
/** Runs the command line (program.ts). */
import { readQuickly } from './with/quick-words.js';

const [first, ...rest] = process.argv.slice(2);
const quick = first === 'with' ? readQuickly(rest) : undefined;

try {
  if (quick !== undefined) {
    await (await import('./commands/with.js')).withCommand(quick.words, quick.options);
  } else {
    await run();
  }
} catch (error) {
  (await import('./commands/output.js')).fail(error);
}

async function run(): Promise<void> {
  // A reader that goes away (`sockswitch ps | head -1`) is not an error.
  process.stdout.on('error', (error) => {
    if ('code' in error && error.code === 'EPIPE') process.exit();
    throw error;
  });
  if (first === '-V' || first === '--version') {
    (await import('./commands/version.js')).printVersion();
  } else {
    await (await import('./program.js')).createProgram().parseAsync();
  }
}
