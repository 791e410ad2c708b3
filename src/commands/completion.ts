/** `sockswitch completion`. */
import type { Command } from 'commander';
import { completion, type Shell } from '../manual/completion.js';
import { print } from './output.js';

export function printCompletion(program: Command, shell: Shell): void {
  print(completion(program, shell));
}
