/** `sockswitch profile`: prints a seccomp profile for engines without precreate hooks. */
import { readFileSync } from 'node:fs';
import { codeOf, messageOf, UserError } from '../base/errors.js';
import { runtimePaths } from '../base/paths.js';
import { quote } from '../base/text.js';
import { makeProfile } from '../oci/profile.js';
import { print } from './output.js';

export interface ProfileOptions {
  readonly base: string;
  readonly oci?: boolean;
}

export function profile(options: ProfileOptions): void {
  const base = options.base === 'unconfined' ? undefined : read(options.base);
  print(
    makeProfile(base, options.oci === true ? 'oci' : 'engine', {
      listenerPath: runtimePaths().listenerSocket,
      waitKillable: false, // not every runtime takes it
      refuseFastOpen: true,
      machine: process.arch,
    }),
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(
      `cannot read the base profile ${quote(path)} (${codeOf(error) ?? messageOf(error)}): name one with --base, or use --base unconfined`,
    );
  }
}
