/** Files of a run. */
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CommandError } from '../runner/execute.js';
import { runHtml } from './html.js';
import { runMarkdown } from './markdown.js';
import type { Run } from './results.js';

/** Returns the path. */
export function writeJson(run: Run, path: string): string {
  write(path, `${JSON.stringify(run, null, 1)}\n`);
  return path;
}

/** Makes the directory with index.html, report.md and results.json. Returns the path of the first. */
export async function writeReport(run: Run, directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true });
  writeJson(run, join(directory, 'results.json'));
  write(join(directory, 'report.md'), `# sockswitch bench\n\n${runMarkdown(run)}\n`);
  const page = join(directory, 'index.html');
  write(page, await runHtml(run));
  return page;
}

/** Throws before a long run, not after it, when its result could not be written. */
export function checkWritable({ json, report }: { json?: string; report?: string }): void {
  try {
    if (json !== undefined) accessSync(dirname(json), constants.W_OK);
    if (report !== undefined) mkdirSync(report, { recursive: true });
  } catch (error) {
    throw new CommandError(
      `cannot write the result: ${error instanceof Error ? error.message : error}: name a directory that exists`,
    );
  }
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new CommandError(
      `cannot write ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
}
