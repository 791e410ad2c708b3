/**
 * `sockswitch with`: opts in every container and build that a command starts.
 *
 * Order of events: options become annotations; Podman's configuration with these is written beside what is there
 * (with/containers-conf.ts) and named in the environment; programs that see to builds
 * (native/programs/front.cc) come first in PATH in the place of `podman`, `podman-remote` and `buildah`; this process
 * becomes the command. So nothing of ours stands between the command and its terminal, its signals or its exit status,
 * and nothing has to be taken back.
 *
 * It must not cost more than 100 ms (docs/performance.md). So nothing here loads zod or commander, and what reads TOML, YAML or addresses is loaded where they are.
 */
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import { UserError } from '../base/errors.js';
import { configPaths, programs, runtimePaths } from '../base/paths.js';
import { obstacle } from '../with/ask-daemon.js';
import { CANNOT } from '../with/choices.js';
import type { ConfFindings, ConfRequest } from '../with/containers-conf.js';
import { become, say } from '../with/execute.js';
import { digest, WithFiles } from '../with/files.js';
import {
  annotationsFor,
  checkTogether,
  hostNetworksIn,
  saidBy,
  type WithOptions,
} from '../with/options.js';
import {
  abilitiesOf,
  confFile,
  configurationFiles,
  findProgram,
  isExecutable,
  isTooOld,
  podmanVersion,
} from '../with/podman-program.js';
import { FOR_BUILDS, FOR_CONTAINERS } from '../with/service.js';
import {
  PROGRAM_VARIABLES,
  PROGRAMS,
  readState,
  STATE_VARIABLE,
  withOuter,
} from '../with/state.js';

/** Becomes the command. Ends with status 125 where that cannot be begun. */
export async function withCommand(words: readonly string[], options: WithOptions): Promise<void> {
  try {
    const argv = commandLine(words, options.shell === true);
    await prepare(argv, options);
    await become(argv);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(error.message);
    process.exitCode = CANNOT.start;
  }
}

function commandLine(words: readonly string[], shell: boolean): readonly string[] {
  const { SHELL = '' } = process.env;
  if (shell && words.length > 0) {
    throw new UserError(
      '--shell starts a shell, and a command was given, too: leave one of them out',
    );
  }
  if (shell) return [SHELL === '' ? '/bin/sh' : SHELL];
  if (words.length > 0) return words;
  throw new UserError(
    'no command was given: write it behind "--", as in "sockswitch with -- podman run IMAGE", or use --shell',
  );
}

/** Writes the files and sets the variables of this process that the command inherits. */
async function prepare(argv: readonly string[], options: WithOptions): Promise<void> {
  const said = await saidBy(argv, options);
  for (const warning of said?.warnings ?? []) say(warning);
  const annotations = await annotationsFor(options, said);
  const paths = runtimePaths();
  const { [STATE_VARIABLE]: outer = '' } = process.env;
  const isRequired =
    'sockswitch/required' in annotations ||
    (outer !== '' && readState(outer)['sockswitch/required'] === 'true');
  await look(isRequired, paths.controlSocket);
  for (const warning of await hostNetworksIn(options, said)) say(warning);
  const files = new WithFiles(paths);
  const environment = process.env;
  const real = new Map(PROGRAMS.map((name) => [name, findProgram(name, environment)]));
  const podman = real.get('podman');
  if (podman === undefined) {
    refuseOrSay(
      isRequired && real.get('buildah') === undefined, // its builds can be
      'there is no podman in PATH, so only what the command brings along is opted in',
    );
  }
  const version = podman === undefined ? undefined : await podmanVersion(podman, files);
  const abilities = abilitiesOf(version);
  if (!abilities.override && isTooOld(version)) {
    refuseOrSay(
      isRequired,
      `this is Podman ${version}, and sockswitch needs 4.3 or later: containers will not be accelerated`,
    );
  }
  const { CONTAINERS_CONF_OVERRIDE: override = '', PATH = '' } = environment;
  const request = {
    files: configurationFiles(environment),
    override: override === '' ? undefined : confFile(override),
    annotations,
    hooksDirectory: configPaths().hooksDirectory,
    abilities,
  };
  const { service, carried } = await found(request);
  if (service) {
    refuseOrSay(isRequired, ofService('Podman’s configuration has "remote = true"', 'remove it'));
  }
  const wanted = withOuter(annotations, carried, outer);
  await checkTogether(wanted);
  const variable = abilities.override ? 'CONTAINERS_CONF_OVERRIDE' : 'CONTAINERS_CONF';
  const name = `containers-${digest(JSON.stringify(request))}.conf`;
  environment[variable] = await files.keep(name, async () =>
    (await import('../with/containers-conf.js')).containersConf(request),
  );

  const { front, start } = programs();
  for (const program of [front, start]) {
    // A link to nothing would be passed over, and builds with it.
    if (!isExecutable(program))
      throw new UserError(`"${program}" is missing: run "npm run build", or reinstall sockswitch`);
  }
  const there = [...real].filter(([, path]) => path !== undefined);
  const directory = files.links(Object.fromEntries(there.map(([name]) => [name, front])));
  const others = PATH.split(delimiter).filter((one) => one !== directory);
  environment['PATH'] = [directory, ...others].join(delimiter);
  for (const [name, path] of real) environment[PROGRAM_VARIABLES[name]] = path ?? '';
  environment['SOCKSWITCH_WITH_START'] = start;
  environment['SOCKSWITCH_WITH_NODE'] = process.execPath;
  environment['SOCKSWITCH_WITH_REMOTE'] = service ? '1' : '';
  environment['SOCKSWITCH_WITH_REQUIRED'] = isRequired ? '1' : '';
  environment[STATE_VARIABLE] = JSON.stringify(wanted);
}

/** What the user's own configuration says about builds. Most say nothing, and then nothing that reads TOML is loaded. */
async function found(request: ConfRequest): Promise<ConfFindings> {
  const texts = [...request.files, ...(request.override === undefined ? [] : [request.override])];
  if (
    !texts.some(({ text }) =>
      /^(?!\s*#).*(sockswitch\/(ignore|firewall)|remote["']?\s*=)/m.test(text),
    )
  ) {
    return { service: false, carried: {} };
  }
  return (await import('../with/containers-conf.js')).findings(request);
}

/** Says what stands in the way of acceleration. Throws UserError where it is required. */
async function look(isRequired: boolean, controlSocket: string): Promise<void> {
  const { hookFile } = configPaths();
  const problem = existsSync(hookFile)
    ? await obstacle(controlSocket)
    : `Podman's hook is not installed (${hookFile} is missing): run "sockswitch install"`;
  if (problem !== undefined) {
    refuseOrSay(
      isRequired,
      `containers ${isRequired ? 'would' : 'will'} not be accelerated: ${problem}`,
    );
  }
  for (const name of ['CONTAINER_HOST', 'CONTAINER_CONNECTION', 'DOCKER_HOST']) {
    const { [name]: value } = process.env;
    // Podman goes to a service by an empty one, too.
    if (value === undefined || (value === '' && name === 'DOCKER_HOST')) continue;
    refuseOrSay(isRequired, ofService(`${name} is set`, 'unset it'));
  }
}

function ofService(what: string, remedy: string): string {
  return `${what}: what a program has a Podman service do (podman --remote, docker, compose) is not opted in: ${remedy}. Otherwise, for containers: ${FOR_CONTAINERS}. For builds: ${FOR_BUILDS}`;
}

function refuseOrSay(isRequired: boolean, message: string): void {
  if (isRequired) throw new UserError(`--required was given, and ${message}`);
  say(message);
}
