/** The user's systemd instance, where there is one. */
import { join } from 'node:path';
import { execa } from 'execa';
import { UserError } from '../base/errors.js';
import { runtimeBase } from '../base/paths.js';
import { isServed } from './unix-socket.js';

const TIMEOUT_MS = 30_000;

/** Whether a systemd user instance serves this user. The socket's file alone may be left over. */
export function systemdRuns(): Promise<boolean> {
  return isServed(join(runtimeBase(), 'systemd', 'private'));
}

/** Whether systemd runs the daemon of this user at the moment. */
export async function serviceIsActive(): Promise<boolean> {
  if (!(await systemdRuns())) return false;
  const result = await execa(
    'systemctl',
    ['--user', 'is-active', '--quiet', 'sockswitch.service'],
    {
      reject: false,
      stdin: 'ignore',
      timeout: TIMEOUT_MS,
    },
  );
  return result.exitCode === 0;
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
