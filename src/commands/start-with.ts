/**
 * Where `sockswitch with` starts (native/programs/start.cc). The build makes one CommonJS file of this and what it imports,
 * dist/commands/start-with.cjs: as fifteen ES modules it takes a quarter longer (docs/performance.md).
 *
 * What cannot be read quickly is left to the whole command line, which is not in that file; nor is what prints other errors.
 */
import { readQuickly } from '../with/quick-words.js';
import { withCommand } from './with.js';

type Output = typeof import('./output.js');

const beside = (path: string): string => new URL(path, import.meta.url).href;

async function main(): Promise<void> {
  const quick = readQuickly(process.argv.slice(3));
  if (quick === undefined) {
    await import(beside('../cli.js'));
    return;
  }
  try {
    await withCommand(quick.words, quick.options);
  } catch (error) {
    const { fail }: Output = await import(beside('./output.js'));
    fail(error);
  }
}

void main();
