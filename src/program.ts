/** The command line: verbs, options and their manual. What a verb does stands in commands/VERB.ts. */
import { Argument, Command, Option } from 'commander';
import { version } from './base/version.js';
import * as help from './commands/help.js';
import { SHELLS } from './manual/completion.js';
import { LOG_LEVELS } from './policy/log-levels.js';
import { CANNOT, FIREWALL, NAMES, PRESETS } from './with/choices.js';

/** For an option that can be repeated. */
function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** Builds it anew. Man pages and completion are made from this, too. */
export function createProgram(): Command {
  // Verbs are imported when they are used: `status` and `ps` must not wait for the daemon's libraries.
  const program = new Command('sockswitch')
    .description('Host-speed networking for rootless Podman containers, by socket switching.')
    .version(version(), '-V, --version', 'print version, commit and the kernel features in use')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showHelpAfterError('(see --help)')
    .addHelpText('after', help.general)
    .enablePositionalOptions(); // what stands behind the command of "with" is its own

  program
    .command('daemon')
    .summary('run the daemon in the foreground')
    .description(help.daemonDescription)
    .addOption(
      new Option(
        '--log-level <level>',
        'least severe messages to log; overrides log_level',
      ).choices(LOG_LEVELS),
    )
    .addOption(
      new Option('--log-format <format>', 'auto: text on a terminal, else JSON')
        .choices(['auto', 'json', 'text'])
        .default('auto'),
    )
    .option('--nerdctl-api', 'serve nerdctl in the place of bypass4netnsd; overrides nerdctl_api')
    .option('--external-keeper', 'wait for the keeper, which a unit of its own runs; start none')
    .addHelpText('after', help.daemon)
    .action(async (options) => (await import('./commands/daemon.js')).daemon(options));

  program
    .command('status')
    .summary('tell whether the daemon runs, and how')
    .description(help.statusDescription)
    .option('--json', 'print JSON')
    .addHelpText('after', help.status)
    .action(async (options) => (await import('./commands/status.js')).status(options));

  program
    .command('ps')
    .summary('list accelerated containers')
    .description(help.psDescription)
    .option('--json', 'print JSON')
    .option('--no-trunc', 'print whole ids, all reasons and all remembered incidents')
    .addHelpText('after', help.ps)
    .action(async (options) => (await import('./commands/ps.js')).ps(options));

  program
    .command('doctor')
    .summary('find out why something does not work')
    .description(help.doctorDescription)
    .option('--json', 'print JSON')
    .addHelpText('after', help.doctor)
    .action(async (options) => (await import('./commands/doctor.js')).doctor(options));

  program
    .command('sockets')
    .summary('list the switched sockets that are open')
    .description(help.socketsDescription)
    .argument('[container]', 'id, beginning of an id, or name; all if left out')
    .option('--json', 'print JSON')
    .addHelpText('after', help.sockets)
    .action(async (container, options) =>
      (await import('./commands/sockets.js')).sockets(container, options),
    );

  program
    .command('tunnels')
    .summary('list the tunnels that are carried, and their peers')
    .description(help.tunnelsDescription)
    .argument('[container]', 'id, beginning of an id, or name; all if left out')
    .option('--json', 'print JSON')
    .addHelpText('after', help.tunnels)
    .action(async (container, options) =>
      (await import('./commands/tunnels.js')).tunnels(container, options),
    );

  program
    .command('events')
    .summary('tell what happened lately')
    .description(help.eventsDescription)
    .option('-f, --follow', 'go on with what happens, until the daemon ends')
    .option('--json', 'print JSON, an object a line')
    .addHelpText('after', help.events)
    .action(async (options) => (await import('./commands/events.js')).events(options));

  program
    .command('top')
    .summary('show what containers do, second by second')
    .description(help.topDescription)
    .option('--interval <seconds>', 'time between two looks', '2')
    .option('--once', 'print one table and end')
    .addHelpText('after', help.top)
    .action(async (options) => (await import('./commands/top.js')).top(options));

  program
    .command('stop')
    .summary('stop the daemon')
    .description(help.stopDescription)
    .option('--force', 'also while containers depend on it')
    .addHelpText('after', help.stop)
    .action(async (options) => (await import('./commands/stop.js')).stop(options));

  program
    .command('explain')
    .summary('tell what would happen to a connection')
    .description(help.explainDescription)
    .argument('<container>', 'id, beginning of an id, or name')
    .argument(
      '<destination>',
      'ADDRESS[:PORT], [IPV6]:PORT or NAME[:PORT]; the port is 443 if left out; with /udp behind: UDP',
    )
    .option('--pod <pid>', 'of a pod in the container that a process of this PID on the host is in')
    .option('--json', 'print JSON')
    .addHelpText('after', help.explain)
    .action(async (container, destination, options) =>
      (await import('./commands/explain.js')).explain(container, destination, options),
    );

  program
    .command('profile')
    .summary('print a seccomp profile, for engines without hooks')
    .description(help.profileDescription)
    .option(
      '--base <file>',
      'the profile to extend, or "unconfined"',
      '/usr/share/containers/seccomp.json',
    )
    .option('--oci', 'in the form of an OCI spec, for a bare runtime')
    .addHelpText('after', help.profile)
    .action(async (options) => (await import('./commands/profile.js')).profile(options));

  const withVerb = program
    .command('with')
    .summary('opt in all containers and builds that a command starts')
    .description(help.withDescription)
    .usage('[options] -- COMMAND [ARGUMENTS...]')
    .argument('[command...]', 'the command, and its arguments')
    .option('--shell', 'start $SHELL instead of a command')
    .option('--required', 'fail rather than run without acceleration')
    .option(
      '--ignore <prefixes>',
      'destinations that stay on the container network, as sockswitch/ignore; can be repeated',
      collect,
    )
    .addOption(
      new Option('--preset <name>', 'settings for what the containers are').choices(PRESETS),
    )
    .option('--pod-cidr <prefixes>', 'of the cluster, for --preset kubernetes', collect)
    .option('--service-cidr <prefixes>', 'of the cluster, for --preset kubernetes', collect);
  withVerb.addOption(
    new Option('--firewall <how>', 'as the annotation sockswitch/firewall').choices(FIREWALL),
  );
  withVerb.addOption(
    new Option('--names <whose>', 'as the annotation sockswitch/names').choices(NAMES),
  );
  withVerb.option(
    '--pods <what>',
    '"none", or "egress" and prefixes, as the annotation sockswitch/pods; can be repeated',
    collect,
  );
  withVerb.option(
    '--tunnels [what]',
    'accelerate tunnels: "true" (if left out), "false" or UDP ports, as the annotation sockswitch/tunnels',
  );
  withVerb
    .passThroughOptions()
    .configureOutput({ outputError: (text, write) => write(text) })
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : CANNOT.start))
    .addHelpText('after', help.withText)
    .action(async (words, options) =>
      (await import('./commands/with.js')).withCommand(words, options),
    );

  program
    .command('install')
    .summary("install Podman's hook and the systemd unit for this user")
    .description(help.installDescription)
    .option('--dry-run', 'print what would be done, and do nothing')
    .addHelpText('after', help.install)
    .action(async (options) => (await import('./commands/install.js')).install(options));

  program
    .command('uninstall')
    .summary('remove what install installed')
    .description(help.uninstallDescription)
    .option('--dry-run', 'print what would be done, and do nothing')
    .addHelpText('after', help.uninstall)
    .action(async (options) => (await import('./commands/uninstall.js')).uninstall(options));

  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description(help.completionDescription)
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText('after', help.completion)
    .action(async (shell) =>
      (await import('./commands/completion.js')).printCompletion(createProgram(), shell),
    );

  program
    .command('bench')
    .summary('measure container networks on this machine')
    .description(help.benchDescription)
    .argument('[arguments...]')
    .usage('[options] [workload...]')
    .helpOption(false) // its own, which lists workloads and drivers
    .allowUnknownOption()
    .action(async (words) => (await import('./commands/bench.js')).bench(words));

  return program;
}
