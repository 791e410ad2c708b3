/** What the running kernel must have and allow, and the versions that brought it. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Addon, NamesProblem } from '../addon/addon.js';
import { UserError } from '../base/errors.js';
import { type Capability, type Surroundings, surroundings } from './surroundings.js';

export type KernelFeatures = ReturnType<Addon['kernelFeatures']>;

/** What is missing, each with the version that has it. */
export function missingFeatures(features: KernelFeatures): string[] {
  const missing: string[] = [];
  if (!features.userNotif)
    missing.push('seccomp user notification (Linux 5.0, CONFIG_SECCOMP_FILTER)');
  if (!features.addfd) missing.push('putting a descriptor into a notified process (Linux 5.9)');
  if (!features.netnsCookie) missing.push('network namespace cookies of sockets (Linux 5.14)');
  return missing;
}

/**
 * A setting with which the daemon could not look into containers. It would have to refuse their bind and listen,
 * which it must not leave to the kernel unseen.
 */
export function settingsProblem(
  read = (path: string) => readFileSync(path, 'utf8'),
): { readonly message: string; readonly remedy: string } | undefined {
  let scope = '0';
  try {
    scope = read('/proc/sys/kernel/yama/ptrace_scope').trim();
  } catch {
    return undefined; // no Yama here
  }
  if (scope !== '3') return undefined;
  return {
    message:
      'kernel.yama.ptrace_scope is 3, which forbids the daemon to take descriptors from containers',
    remedy: 'set it to 2 or less in /etc/sysctl.d and restart the machine (3 cannot be taken back)',
  };
}

/** Where a seccomp filter of this process has a listener: the kernel takes no other beside it. */
export const LISTENER_IN_USE = {
  message:
    'this process runs under a seccomp filter that has a listener already, as in a container that is accelerated itself, and the kernel takes only one (EBUSY)',
  remedy:
    'run the outer container without acceleration (sockswitch/enable=false), or leave the acceleration to the sockswitch outside (docs/nesting.md)',
} as const;

type Around = Pick<Surroundings, 'userNamespace' | 'withheld'>;

/** What of `wanted` the container was started without, and how it is started with it; undefined: with all. */
function withheldOf(
  wanted: readonly Capability[],
  { withheld }: Around,
): { readonly names: string; readonly remedy: string } | undefined {
  const missing = wanted.filter((name) => withheld.includes(name));
  if (missing.length === 0) return undefined;
  const names = missing.map((name) => name.toUpperCase());
  return {
    names: names.map((name) => `CAP_${name}`).join(' and '),
    remedy: `start the outer container with --cap-add=${missing.join(',')} (Kubernetes: securityContext.capabilities.add: [${names.join(', ')}])`,
  };
}

/** What stands in the way where sockets cannot be guarded (native/switch/socket_guard.h). */
export function guardProblem(
  guardProgram: string,
  obstacle: string,
  around: Around = surroundings(),
): {
  readonly message: string;
  readonly remedy: string;
} {
  const cannot = 'sockets that containers get cannot be guarded';
  if (obstacle === 'EPROTONOSUPPORT') {
    return {
      message: `${cannot}: ${guardProgram}, or the sockswitch-guard that systemd starts, is of another version than this daemon`,
      remedy:
        'restart the daemon; where that does not help, reinstall, and run "sockswitch install"',
    };
  }
  if (obstacle === 'ENOBUFS') {
    return {
      message: `${cannot}: the kernel compiles no more filters (net.core.bpf_jit_limit)`,
      remedy: 'raise that limit by sysctl, or end what uses it up, and restart the daemon',
    };
  }
  const wants = `${cannot}: this kernel wants CAP_BPF for it`;
  if (around.userNamespace) {
    return {
      message: `${wants}, and of the machine's first user namespace, which no program in another one has`,
      remedy:
        'run the outer container without a user namespace of its own and with --cap-add=bpf, leave the acceleration to a sockswitch outside, or accept what is left without the guard by require_guard = false (docs/nesting.md)',
    };
  }
  const withheld = withheldOf(['bpf'], around);
  if (withheld !== undefined) {
    return {
      message: `${wants}, which this container was started without, so that no program in it can have it`,
      remedy: `${withheld.remedy}, or accept what is left without the guard by require_guard = false (docs/nesting.md)`,
    };
  }
  return {
    message: `${wants}, which ${guardProgram} does not have (or cannot use, on a file system that is mounted nosuid)`,
    remedy: `run "sudo setcap cap_bpf=ep ${guardProgram}", and restart the daemon`,
  };
}

/**
 * Why services see the host's address for clients inside and for neighbours, with the remedy (native/programs/names.cc).
 * `program`: sockswitch-names.
 */
export function namesMessage(
  program: string,
  { stage, error }: NamesProblem,
  around: Around = surroundings(),
): string {
  const host =
    "services see the host's address for clients inside their container and for neighbours";
  const restart = 'and restart the daemon';
  if (error === 'EPERM' && (stage === 'answer' || stage === 'load')) {
    if (around.userNamespace) {
      return `${host}: that takes CAP_BPF and CAP_NET_ADMIN of the machine's first user namespace, which no program in another one has (docs/nesting.md)`;
    }
    const withheld = withheldOf(['bpf', 'net_admin'], around);
    if (withheld !== undefined) {
      return `${host}: that takes ${withheld.names}, which this container was started without: ${withheld.remedy} (docs/nesting.md)`;
    }
  }
  switch (stage) {
    case 'answer':
      if (error === 'EPERM') {
        return `${host}: ${program} may not be started with its capabilities here`;
      }
      return `${host}: ${program} does not answer (${error}): reinstall, ${restart}`;
    case 'cgroup':
      return `${host}: no hierarchy of cgroup version 2 is mounted here, by which they would see the true one`;
    case 'delegated':
      return `${host}: the daemon's cgroup does not belong to its user: start the daemon by "sockswitch install" or by "systemd-run --user --scope" (root has no such cgroup)`;
    case 'attach':
      return `${host}: nothing can be attached to the cgroup of the daemon's user (${error})`;
    case 'tried':
      return error === 'EPERM'
        ? `${host}: this kernel lets nobody change a map without a capability (Linux 5.19 does)`
        : `${host}: ${program} does its part and no name shows (${error}): the daemon and ${program} are in different cgroups, or the kernel lacks something`;
    case 'load':
      return error === 'EPERM'
        ? `${host}: ${program} has not the capabilities to change that (or cannot use them, on a file system that is mounted nosuid): run "sudo setcap cap_bpf,cap_net_admin=ep ${program}" (where it has them already, and systemd runs the daemon, "sockswitch install"), ${restart}`
        : `${host}: this kernel does not load the programs that change that (${error}; they take Linux 5.8 with CONFIG_CGROUP_BPF)`;
  }
}

/** What stands in the way where services' sockets cannot be moved to another device (native/publish/pins.h). */
export function repinProblem(
  repinProgram: string,
  obstacle: string,
  around: Around = surroundings(),
): { readonly message: string; readonly remedy: string } {
  const cannot =
    "services on published ports stay on their network device where the host's network moves to another one";
  if (obstacle === 'EPROTONOSUPPORT') {
    return {
      message: `${cannot}: ${repinProgram}, or the sockswitch-repin that systemd starts, is of another version than this daemon`,
      remedy:
        'restart the daemon; where that does not help, reinstall, and run "sockswitch install"',
    };
  }
  const withheld = withheldOf(['net_raw'], around);
  if (withheld !== undefined) {
    return {
      message: `${cannot}: that takes ${withheld.names}, which this container was started without`,
      remedy: `${withheld.remedy} (docs/nesting.md)`,
    };
  }
  return {
    message: `${cannot}: that takes CAP_NET_RAW, which ${repinProgram} does not have (or cannot use)`,
    remedy: `run "sudo setcap cap_net_raw=ep ${repinProgram}"; where it has that already, and systemd runs the daemon, run "sockswitch install"`,
  };
}

/** Throws UserError that names everything that is missing. */
export function requireKernel(features: KernelFeatures, settings = settingsProblem()): void {
  if (features.listenerInUse) {
    throw new UserError(`${LISTENER_IN_USE.message}: ${LISTENER_IN_USE.remedy}`);
  }
  const missing = missingFeatures(features);
  if (missing.length > 0) {
    throw new UserError(
      `this kernel (${release()}) lacks ${missing.join(', ')}: sockswitch needs Linux 5.14 or later; containers run on their fallback network without it`,
    );
  }
  if (features.pinningProblem !== '') {
    throw new UserError(
      `sockets cannot be confined to their network device on this kernel (${release()}): ${features.pinningProblem}; without it a container could reach the host's own services, so sockswitch does not run here`,
    );
  }
  if (settings !== undefined) throw new UserError(`${settings.message}: ${settings.remedy}`);
}
