/** Which program `podman compose` runs (podman-compose(1)). */
import { homedir } from 'node:os';
import { isAbsolute } from 'node:path';
import { composeProviders } from './containers-conf.js';
import { confFile, configurationFiles, findProgram, isExecutable } from './podman-program.js';

/** Podman's own list (containers/common, pkg/config). */
const USUAL = [
  '$HOME/.docker/cli-plugins/docker-compose',
  '/usr/local/lib/docker/cli-plugins/docker-compose',
  '/usr/local/libexec/docker/cli-plugins/docker-compose',
  '/usr/lib/docker/cli-plugins/docker-compose',
  '/usr/libexec/docker/cli-plugins/docker-compose',
  'docker-compose',
  'podman-compose',
];

/** Undefined where there is none, which Podman says itself. */
export function composeProvider(
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const { CONTAINERS_CONF_OVERRIDE: override = '', HOME: home = homedir() } = environment;
  const files = configurationFiles(environment);
  const named = composeProviders(override === '' ? files : [...files, confFile(override)]);
  return (named ?? USUAL)
    .map((name) => name.replace('$HOME', home))
    .find((name) =>
      isAbsolute(name) ? isExecutable(name) : findProgram(name, environment) !== undefined,
    );
}
