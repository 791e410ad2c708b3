#!/usr/bin/env node
/** Runs the command line (program.ts). */
import { createProgram } from './program.js';

// A reader that goes away (`sockswitch ps | head -1`) is not an error.
process.stdout.on('error', (error) => {
  if ('code' in error && error.code === 'EPIPE') process.exit();
  throw error;
});

try {
  const [first] = process.argv.slice(2);
  if (first === '-V' || first === '--version') {
    (await import('./commands/version.js')).printVersion();
  } else {
    await createProgram().parseAsync();
  }
} catch (error) {
  (await import('./commands/output.js')).fail(error);
}
