/**
 * The systemd user units: the daemon; the keeper beside it, whose descriptor store keeps the listeners even
 * when the keeper dies; and a socket at which systemd starts sockswitch-guard for the daemon, whose own
 * unit's NoNewPrivileges= would take its capability away.
 *
 * Hardened as far as the job permits. What needs a user namespace (ProtectSystem=, PrivateTmp=, ...: in a user
 * instance all of these do) is left out: the daemon's rights over containers come from owning their user
 * namespaces, which it can only from outside of one, and some distributions forbid the namespace to the keeper.
 * MemoryDenyWriteExecute= is not for a JavaScript engine. The daemon's system calls are those of services in
 * general and what it reads and changes in containers with: pidfd_getfd, process_vm_readv, seccomp.
 */
import type { Programs } from '../base/paths.js';

export interface UnitPlan {
  readonly programs: Pick<Programs, 'keeper' | 'guard' | 'cli'>;
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
    'Wants=sockswitch-keeper.service sockswitch-guard.socket',
    'After=sockswitch-keeper.service sockswitch-guard.socket',
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
    'SystemCallFilter=@system-service pidfd_getfd process_vm_readv seccomp',
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

export function guardSocketUnit(): string[] {
  return [
    '[Unit]',
    'Description=Where the sockswitch daemon asks for socket filters',
    'Documentation=man:sockswitch(1)',
    'PartOf=sockswitch.service',
    '',
    '[Socket]',
    'ListenSequentialPacket=%t/sockswitch/guard.sock',
    'SocketMode=0600',
    'DirectoryMode=0700',
    'Accept=yes',
    '# The daemon has one; commands that look whether sockets can be guarded have theirs for a moment.',
    'MaxConnections=8',
  ];
}

export function guardUnit(plan: UnitPlan): string[] {
  return [
    '[Unit]',
    'Description=Loads socket filters into the kernel (sockswitch)',
    'Documentation=man:sockswitch(1)',
    'CollectMode=inactive-or-failed',
    '',
    '[Service]',
    '# Nothing that implies NoNewPrivileges=: the capability of its file would be lost.',
    `ExecStart=${word(plan.programs.guard)} --stdin`,
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
