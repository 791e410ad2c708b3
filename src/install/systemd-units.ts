/**
 * The systemd user units: the daemon; the keeper beside it, whose descriptor store keeps the listeners even
 * when the keeper dies; and sockets at which systemd starts the programs that have capabilities (sockswitch-guard,
 * sockswitch-names, sockswitch-repin) for the daemon, whose own unit's NoNewPrivileges= would take these away.
 *
 * Hardened as far as the job permits. What needs a user namespace (ProtectSystem=, PrivateTmp=, ...: in a user
 * instance all of these do) is left out: the daemon's rights over containers come from owning their user
 * namespaces, which it can only from outside of one, and some distributions forbid the namespace to the keeper.
 * MemoryDenyWriteExecute= is not for a JavaScript engine. The daemon's system calls are those of services in
 * general and what it reads and changes in containers with: pidfd_getfd, process_vm_readv, seccomp; and bpf, to write into the map of sockswitch-names.
 */
import type { Programs } from '../base/paths.js';

export interface UnitPlan {
  readonly programs: Pick<Programs, 'keeper' | 'cli'>;
  /** The Node.js executable. */
  readonly node: string;
  /** XDG_CONFIG_HOME where it is set: the daemon must see the same files. */
  readonly configHome: string | undefined;
}

/** Most descriptors that systemd keeps for the keeper: two for each process tree, and a socket. */
const MAX_STORED = 16_384;

const HARDENING = [
  'NoNewPrivileges=yes',
  'UMask=0077',
  'LockPersonality=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'SystemCallArchitectures=native',
  'SystemCallErrorNumber=EPERM',
];

/** Both come back at once, however often they die; a configuration error must not burn a CPU. */
const COMES_BACK = ['RestartSec=100ms', 'RestartSteps=6', 'RestartMaxDelaySec=5s'];

export function daemonUnit(plan: UnitPlan): string[] {
  const environment =
    plan.configHome === undefined
      ? []
      : [`Environment=${word(`XDG_CONFIG_HOME=${plan.configHome}`)}`];
  return [
    '[Unit]',
    'Description=Host-speed networking for rootless Podman containers (sockswitch)',
    'Documentation=man:sockswitch(1)',
    'Wants=sockswitch-keeper.service sockswitch-guard.socket sockswitch-names.socket sockswitch-repin.socket',
    'After=sockswitch-keeper.service sockswitch-guard.socket sockswitch-names.socket sockswitch-repin.socket',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${word(plan.node)} ${word(plan.programs.cli)} daemon --external-keeper`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    '# It stops within 3 s, or hangs in the kernel for a container, and then no signal helps.',
    'TimeoutStopSec=5s',
    ...environment,
    'Restart=always',
    ...COMES_BACK,
    ...HARDENING,
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'SystemCallFilter=@system-service pidfd_getfd process_vm_readv seccomp bpf',
    '',
    '[Install]',
    'WantedBy=default.target',
  ];
}

export function keeperUnit(plan: UnitPlan): string[] {
  return [
    '[Unit]',
    'Description=Keeper of the listeners of accelerated containers (sockswitch)',
    'Documentation=man:sockswitch(1)',
    '# Nothing stops it but its own decision: without it and the daemon, containers lose their network.',
    'RefuseManualStop=yes',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=notify',
    'NotifyAccess=main',
    `ExecStart=${word(plan.programs.keeper)} --runtime-dir %t/sockswitch`,
    'RuntimeDirectory=sockswitch',
    'RuntimeDirectoryMode=0700',
    'RuntimeDirectoryPreserve=yes',
    `FileDescriptorStoreMax=${MAX_STORED}`,
    `LimitNOFILE=${MAX_STORED * 2}`,
    '# It ends with success when it is told to and nothing needs it any more.',
    'Restart=on-failure',
    ...COMES_BACK,
    ...HARDENING,
    'MemoryDenyWriteExecute=yes',
    'RestrictAddressFamilies=AF_UNIX',
    'RestrictNamespaces=yes',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@resources @privileged',
  ];
}

/** A program whose file has capabilities. */
export interface CapableProgram {
  /** The beginning of its units' names. */
  readonly name: 'sockswitch-guard' | 'sockswitch-names' | 'sockswitch-repin';
  readonly description: string;
  /** What the daemon asks for at its socket. */
  readonly asked: string;
  /** In the runtime directory. */
  readonly socket: string;
}

export const GUARD: CapableProgram = {
  name: 'sockswitch-guard',
  description: 'Loads socket filters into the kernel',
  asked: 'socket filters',
  socket: 'guard.sock',
};

export const NAMES: CapableProgram = {
  name: 'sockswitch-names',
  description: 'Shows services the names of their clients',
  asked: "its clients' names",
  socket: 'names.sock',
};

export const REPIN: CapableProgram = {
  name: 'sockswitch-repin',
  description: "Moves published services' sockets to another network device",
  asked: 'moves of sockets',
  socket: 'repin.sock',
};

export function capableSocketUnit({ asked, socket }: CapableProgram): string[] {
  return [
    '[Unit]',
    `Description=Where the sockswitch daemon asks for ${asked}`,
    'Documentation=man:sockswitch(1)',
    'PartOf=sockswitch.service',
    '',
    '[Socket]',
    `ListenSequentialPacket=%t/sockswitch/${socket}`,
    'SocketMode=0600',
    'DirectoryMode=0700',
    'Accept=yes',
    '# The daemon has one; commands that look whether the program is of use have theirs for a moment.',
    'MaxConnections=8',
  ];
}

/** `program`: the path of its executable. */
export function capableUnit({ description }: CapableProgram, program: string): string[] {
  return [
    '[Unit]',
    `Description=${description} (sockswitch)`,
    'Documentation=man:sockswitch(1)',
    'CollectMode=inactive-or-failed',
    '',
    '[Service]',
    '# Nothing that implies NoNewPrivileges=: the capabilities of its file would be lost.',
    `ExecStart=${word(program)} --stdin`,
    'StandardInput=socket',
    'StandardOutput=journal',
    'UMask=0077',
  ];
}

/** One word of a unit file: quoted, with specifiers and variables made literal. */
function word(text: string): string {
  const literal = text.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w/.:=@+,%$-]+$/.test(literal) ? literal : JSON.stringify(literal);
}
