/** The user's systemd instance, where there is one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { UserError } from '../errors.js';
import { runtimeBase } from '../paths.js';

const TIMEOUT_MS = 30_000;

/** Whether a systemd user instance serves this user. */
export function systemdRuns(): boolean {
  return existsSync(join(runtimeBase(), 'systemd', 'private'));
}

/** Runs `systemctl --user ARGUMENTS`. Rejects with UserError that shows what systemctl said. */
export async function systemctl(...args: readonly string[]): Promise<void> {
  const result = await execa('systemctl', ['--user', ...args], {
    reject: false,
    stdin: 'ignore',
    timeout: TIMEOUT_MS,
  });
  if (result.exitCode === 0) return;
  throw new UserError(
    `"systemctl --user ${args.join(' ')}" failed: ${result.stderr || result.shortMessage}`,
  );
}
