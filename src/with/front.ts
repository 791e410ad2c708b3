/**
 * `front.js podman|podman-remote|buildah ARGUMENTS`: looks at a call that builds, or that goes to a Podman service (native/programs/front.cc), adds
 * what a build needs to be accelerated, and becomes the real program.
 *
 * No hook sees the containers in which RUN steps are executed, but Buildah hands their seccomp profile to the runtime as
 * it is. So a build gets a profile with our rules, made from the one that it would have had. What is asked for travels
 * in the profile (oci/listener-metadata.ts).
 */
import { existsSync } from 'node:fs';
import { UserError } from '../base/errors.js';
import { runtimePaths } from '../base/paths.js';
import { commit, version } from '../base/version.js';
import { makeProfile } from '../oci/profile.js';
import { obstacle } from './ask-daemon.js';
import { CANNOT } from './choices.js';
import { become, say } from './execute.js';
import { digest, readText, WithFiles } from './files.js';
import { FOR_BUILDS, FOR_CONTAINERS } from './service.js';
import { PROGRAM_VARIABLES, PROGRAMS, readState, STATE_VARIABLE } from './state.js';
import { type Build, CARRIED, readCall, type Tool, withProfile } from './words.js';

/** Where Buildah looks for its default profile, in this order (containers/common, pkg/seccomp). */
const DEFAULT_PROFILES = ['/etc/containers/seccomp.json', '/usr/share/containers/seccomp.json'];

const [tool = '', ...words] = process.argv.slice(2);
try {
  const name: Tool = PROGRAMS.find((one) => one === tool) ?? 'podman';
  const real = process.env[PROGRAM_VARIABLES[name]];
  if (real === undefined) throw new UserError(`${name} is not known here: unset ${STATE_VARIABLE}`);
  await become([real, ...(await changed(name, words))]);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  say(error.message);
  process.exitCode = CANNOT.start;
}

/** The words to call the program with. Throws UserError where acceleration is required and cannot be. */
async function changed(name: Tool, given: readonly string[]): Promise<readonly string[]> {
  const annotations = readState(process.env[STATE_VARIABLE] ?? '');
  const isRequired = annotations['sockswitch/required'] === 'true';
  const without = (reason: string): readonly string[] => {
    if (isRequired) throw new UserError(`--required was given, and ${reason}`);
    say(`not accelerated: ${reason}`);
    return given;
  };
  const environment = given.includes('compose') ? await withProvider(process.env) : process.env;
  const call = readCall(name, given, environment);
  const { build, remote, starts } = call;
  if (build?.network === 'host') return given; // as fast as it gets
  if (build?.isolation === 'chroot') {
    say(
      '--isolation=chroot runs build steps in the host’s network: there is nothing to accelerate',
    );
    return given;
  }
  if (call.working !== undefined) {
    const reason =
      '"buildah run" takes no seccomp profile, so what it runs in a working container is not accelerated: "buildah build" is';
    if (call.working === 'from') say(reason);
    else if (isRequired) throw new UserError(`--required was given, and ${reason}`);
    return given;
  }
  if (starts !== undefined && remote !== undefined) {
    return without(
      `${remote} leads to a Podman service, which does not see what "sockswitch with" sets: ${starts === 'builds' ? FOR_BUILDS : FOR_CONTAINERS}`,
    );
  }
  if (call.unseen !== undefined) return without(call.unseen);
  if (build === undefined) return given;
  const paths = runtimePaths();
  const problem = await obstacle(paths.controlSocket);
  if (problem !== undefined) return without(problem);
  try {
    const profile = await profileFor(build, annotations, paths);
    return profile === undefined ? given : withProfile(given, build, profile);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return without(error.message);
  }
}

/** With the program that `podman compose` runs: what PODMAN_COMPOSE_PROVIDER names, else `compose_providers`. */
async function withProvider(environment: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  if ((environment['PODMAN_COMPOSE_PROVIDER'] ?? '') !== '') return environment;
  const { composeProvider } = await import('./compose-provider.js');
  return { ...environment, PODMAN_COMPOSE_PROVIDER: composeProvider(environment) };
}

/** The path of the build's profile with our rules; undefined where it has them. Throws UserError. */
async function profileFor(
  build: Build,
  annotations: Readonly<Record<string, string>>,
  paths: ReturnType<typeof runtimePaths>,
): Promise<string | undefined> {
  const base = baseProfile(build.seccomp);
  if (base?.includes(JSON.stringify(paths.listenerSocket)) === true) return undefined;
  const carried = Object.fromEntries(
    Object.entries(annotations).filter(([name]) => CARRIED.some((one) => one === name)),
  );
  const options = {
    listenerPath: paths.listenerSocket,
    waitKillable: false, // not every runtime takes it
    refuseFastOpen: true,
    machine: process.arch,
    annotations: carried,
  };
  // Another version may write another profile.
  const key = JSON.stringify([version(), commit(), options, base]);
  return new WithFiles(paths).keep(`build-${digest(key)}.json`, () =>
    makeProfile(base, 'engine', options),
  );
}

/** The text of the profile that the build asks for; undefined: unconfined. */
function baseProfile(seccomp: string | undefined): string | undefined {
  if (seccomp === 'unconfined') return undefined;
  const path = seccomp ?? DEFAULT_PROFILES.find((one) => existsSync(one));
  if (path === undefined) {
    throw new UserError(
      `neither ${DEFAULT_PROFILES.join(' nor ')} is there to make the build's seccomp profile from: install golang-github-containers-common or containers-common, or give --security-opt seccomp=FILE`,
    );
  }
  return readText(path, 'the seccomp profile');
}
