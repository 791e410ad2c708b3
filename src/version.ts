/** The product's version, as package.json has it, and the commit that it was built from. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const packageJson = z.object({ version: z.string() });

// Read at the start: an upgrade replaces the files under a daemon that goes on as it is.
const VERSION = packageJson.parse(
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')),
).version;

export function version(): string {
  return VERSION;
}

/** "0123456789ab", with "-dirty" behind it where files had changed; undefined where nobody knows. */
export function commit(): string | undefined {
  try {
    return readFileSync(new URL('../dist/commit', import.meta.url), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
