/** The product's version, as package.json has it, and the commit that it was built from. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const packageJson = z.object({ version: z.string() });

export function version(): string {
  const path = new URL('../package.json', import.meta.url);
  return packageJson.parse(JSON.parse(readFileSync(path, 'utf8'))).version;
}

/** "0123456789ab", with "-dirty" behind it where files had changed; undefined where nobody knows. */
export function commit(): string | undefined {
  try {
    return readFileSync(new URL('../dist/commit', import.meta.url), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
