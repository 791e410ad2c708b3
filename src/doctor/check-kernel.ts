/** What the kernel can do, by probing it, and settings that stand in the way. None of it needs root. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Addon, GuardPaths, NamesPaths, RepinPaths, TunSupport } from '../addon/addon.js';
import {
  guardProblem,
  type KernelFeatures,
  LISTENER_IN_USE,
  missingFeatures,
  namesMessage,
  repinProblem,
  settingsProblem,
} from '../system/kernel-requirements.js';
import type { Surroundings } from '../system/surroundings.js';
import { type Finding, note, ok, problem, warning } from './finding.js';

export function checkKernel(features: KernelFeatures, settings = settingsProblem()): Finding[] {
  const missing = missingFeatures(features);
  const required = features.listenerInUse
    ? problem('kernel.required', LISTENER_IN_USE.message, LISTENER_IN_USE.remedy)
    : missing.length === 0
      ? ok('kernel.required', `Linux ${release()} has what is needed`)
      : problem(
          'kernel.required',
          `Linux ${release()} lacks ${missing.join(', ')}`,
          'use Linux 5.14 or later; where sockswitch itself runs in a container, allow it these calls',
        );
  const pinning =
    features.pinningProblem === ''
      ? ok('kernel.pinning', 'sockets can be confined to their network device')
      : problem(
          'kernel.pinning',
          `sockets cannot be confined to their network device: ${features.pinningProblem}`,
          'the promise of isolation would not hold here, so the daemon refuses to run; use another kernel, or another network set-up of the host',
        );
  const allowed =
    settings === undefined
      ? ok('kernel.settings', 'no kernel setting stands in the way')
      : problem('kernel.settings', settings.message, settings.remedy);
  return [required, pinning, allowed, ...optional(features)];
}

function optional(features: KernelFeatures): Finding[] {
  const has = (id: string, there: boolean, name: string, without: string) =>
    there ? ok(id, `${name} is there`) : note(id, `${name} is not there: ${without}`);
  return [
    has(
      'kernel.sync-wake-up',
      features.syncWakeUp,
      'synchronous wake-up (Linux 6.6)',
      'connections are made more slowly',
    ),
    has(
      'kernel.wait-killable',
      features.waitKillable,
      'uninterrupted switching (Linux 5.19)',
      'a signal may interrupt connect',
    ),
    has(
      'kernel.pidfd-thread',
      features.pidfdThread,
      'thread pidfds (Linux 6.9)',
      'programs that keep descriptors in one thread only are not accelerated',
    ),
    features.kcmp
      ? ok('kernel.kcmp', 'kcmp is permitted')
      : note(
          'kernel.kcmp',
          'kcmp is not permitted (a container has it with CAP_SYS_PTRACE): connections of programs with many descriptors take longer',
        ),
  ];
}

/** Whether the kernel itself keeps sockets to their job; that may take a capability for one program. */
export function checkGuard(
  addon: Pick<Addon, 'guardObstacle'>,
  paths: GuardPaths,
  required: boolean,
): Finding {
  const obstacle = addon.guardObstacle(paths);
  if (obstacle === '') return ok('guard', 'sockets that containers get are guarded');
  const { message, remedy } = guardProblem(paths.guardProgram, obstacle);
  return required
    ? problem('guard', `nothing is accelerated: ${message}`, remedy)
    : warning('guard', `${message} (docs/threat-model.md tells what is left)`, remedy);
}

/**
 * Whether services see the true addresses of clients inside and of neighbours; that takes capabilities for one program. What
 * the daemon has of it is `daemon.names`: its cgroup is another one than that of this process.
 */
export function checkNames(addon: Pick<Addon, 'namesObstacle'>, paths: NamesPaths): Finding {
  const obstacle = addon.namesObstacle(paths);
  return obstacle === undefined || obstacle.stage === 'delegated'
    ? ok('names', 'sockswitch-names has the capabilities to show services their true clients')
    : note('names', namesMessage(paths.namesProgram, obstacle));
}

/** Whether services on published ports follow the host's network; that takes a capability for one program. */
export function checkRepin(addon: Pick<Addon, 'repinObstacle'>, paths: RepinPaths): Finding {
  const obstacle = addon.repinObstacle(paths);
  if (obstacle === '')
    return ok('repin', "services on published ports follow the host's network to another device");
  const { message, remedy } = repinProblem(paths.repinProgram, obstacle);
  return note('repin', `${message}; to change that, ${remedy}`);
}

/** What Podman's containers have where the policy says nothing else (container-selinux). */
const USUAL_LABEL = 'system_u:system_r:container_t:s0';

/** Whether sockets can have the SELinux context of the container that gets them. `enforce`: whether and how SELinux is in use. */
export function checkSelinux(
  addon: Pick<Addon, 'socketLabelObstacle'>,
  enforce: string | undefined,
): Finding {
  const mode = enforce?.startsWith('1') === true ? 'enforcing' : 'permissive';
  if (enforce === undefined) return ok('selinux', 'SELinux is not in use');
  const obstacle = addon.socketLabelObstacle(USUAL_LABEL);
  return obstacle === ''
    ? ok('selinux', `SELinux (${mode}) lets sockets be made with the context of their container`)
    : warning(
        'selinux',
        `SELinux (${mode}): sockets cannot be made with the context ${USUAL_LABEL} of containers: ${obstacle}; they get the daemon's`,
        'look at what was denied (ausearch -m avc -c node), and allow it by a policy module: process setsockcreate to the daemon, and create on tcp_socket and netlink_tcpdiag_socket of the containers',
      );
}

/** "1" enforcing, "0" permissive; undefined where SELinux is off. */
export function selinuxMode(path = '/sys/fs/selinux/enforce'): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** What inner containers and their networks need, where sockswitch runs in a container itself (docs/nesting.md). */
export function checkSurroundings({ coveredProc, tunProblem }: Surroundings): Finding[] {
  return [
    tunProblem === undefined
      ? ok('surroundings.tun', '/dev/net/tun can be opened')
      : problem(
          'surroundings.tun',
          `/dev/net/tun cannot be opened (${tunProblem}), so neither pasta nor slirp4netns can give a container a network, and no tunnel is carried`,
          tunProblem === 'ENOENT' || tunProblem === 'ENODEV'
            ? 'load the kernel module tun; in a container, start that one with --device /dev/net/tun'
            : 'let this user open it: chmod 0666 /dev/net/tun',
        ),
    coveredProc.length === 0
      ? ok('surroundings.proc', 'nothing is mounted over parts of /proc')
      : warning(
          'surroundings.proc',
          `parts of /proc are covered here (${coveredProc.slice(0, 3).join(', ')}), as in a container, so that inner containers can have no /proc of their own`,
          'start the outer container with --security-opt unmask=ALL (Kubernetes: securityContext.procMount: Unmasked)',
        ),
  ];
}

/** What carries the kernel's tunnels (docs/tunnels.md). Whether /dev/net/tun can be opened: `checkSurroundings`. */
export function checkTunnels({ segments, problem: obstacle }: TunSupport): Finding {
  const id = 'tunnels.segments';
  if (obstacle !== '') {
    return note(
      id,
      `it cannot be tried here whether large packets can be carried in tunnels (${obstacle}): "sockswitch tunnels --json" says it of those that run ("segments")`,
    );
  }
  return segments
    ? ok(id, "the kernel hands over tunnels' packets in large pieces (Linux 6.17)")
    : note(
        id,
        `Linux ${release()} hands over tunnels' packets one by one, so that VXLAN gains little at an MTU of 1450: use Linux 6.17 or later, or a large MTU inside the tunnel`,
      );
}

/** Limits of this user that become narrow with many containers. */
export function checkLimits(limits = readFileSync('/proc/self/limits', 'utf8')): Finding[] {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? 'unlimited';
  // Keeper: two for each process tree; daemon: three, and its sockets.
  const enough = 4096;
  if (hard === 'unlimited' || Number(hard) >= enough) {
    return [ok('limits.descriptors', `${hard} descriptors may be open`)];
  }
  return [
    warning(
      'limits.descriptors',
      `only ${hard} descriptors may be open, enough for about ${Math.floor((Number(hard) - 64) / 4)} containers`,
      `raise the limit to ${enough} or more: "DefaultLimitNOFILE=" in /etc/systemd/system.conf, or nofile in /etc/security/limits.conf`,
    ),
  ];
}
