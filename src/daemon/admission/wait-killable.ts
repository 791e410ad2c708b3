/**
 * Whether rewritten profiles ask for SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
 *
 * With it a signal cannot interrupt a call that is being switched. crun accepts the flag; runc 1.1 fails
 * the container on it. A spec does not tell which runtime will read it, so `auto` asks for the flag only
 * where no runc can be found.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import type { WaitKillable } from '../../policy/config.js';

export function wantsWaitKillable(
  setting: WaitKillable,
  kernelHasIt: boolean,
  searchPath = pathVariable(),
): boolean {
  if (!kernelHasIt || setting === 'never') return false;
  return setting === 'always' || !isInPath('runc', searchPath);
}

function pathVariable(): string {
  const { PATH = '' } = process.env;
  return PATH;
}

function isInPath(program: string, searchPath: string): boolean {
  // Podman looks into these as well, whatever PATH says (containers.conf, engine.runtimes).
  const usual = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/sbin', '/bin'];
  return [...searchPath.split(delimiter).filter(isAbsolute), ...usual].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
