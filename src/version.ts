/** The product's version, as package.json has it. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const packageJson = z.object({ version: z.string() });

export function version(): string {
  const path = new URL('../package.json', import.meta.url);
  return packageJson.parse(JSON.parse(readFileSync(path, 'utf8'))).version;
}
