/** The product's version, as package.json has it, and the commit that it was built from. */
import { readFileSync } from 'node:fs';

// Read at the start: an upgrade replaces the files under a daemon that goes on as it is.
const VERSION = versionOf(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

export function version(): string {
  return VERSION;
}

/** "0123456789ab", with "-dirty" behind it where files had changed; undefined where nobody knows. */
export function commit(): string | undefined {
  try {
    return readFileSync(new URL('../../dist/commit', import.meta.url), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Not with zod, whose loading alone takes longer than the rest of a short command. */
function versionOf(packageJson: string): string {
  const { version } = JSON.parse(packageJson) as { readonly version?: unknown };
  if (typeof version !== 'string') throw new TypeError('package.json has no version');
  return version;
}
