/** Podman, its OCI runtime and its user-mode networks, as `podman info` tells them. */
import { execa } from 'execa';
import { z } from 'zod';
import type { WaitKillable } from '../policy/config.js';
import type { Surroundings } from '../system/surroundings.js';
import { type Finding, note, ok, problem, warning } from './finding.js';

const TIMEOUT_MS = 20_000;

const program = z.object({ executable: z.string().default(''), version: z.string().default('') });
export const podmanInfo = z.object({
  host: z.object({
    cgroupVersion: z.string().default(''),
    ociRuntime: z.object({ name: z.string(), version: z.string().default('') }),
    security: z.object({ rootless: z.boolean() }),
    pasta: program.optional(),
    slirp4netns: program.optional(),
  }),
  version: z.object({ Version: z.string() }),
});
export type PodmanInfo = z.infer<typeof podmanInfo>;

type RootSurroundings = Pick<Surroundings, 'userNamespace' | 'container' | 'powerless'>;

/** Podman 5.4 says of pasta that it is "only supported for rootless mode or when inside a nested userns". */
const ROOT_NETWORKS =
  'its bridge networks are the kernel’s and are left alone, it refuses --network=pasta, and only --network=slirp4netns has something to gain';

export async function checkPodman(
  waitKillable: WaitKillable,
  around: RootSurroundings,
): Promise<Finding[]> {
  const result = await execa('podman', ['info', '--format', 'json'], {
    reject: false,
    stdin: 'ignore',
    timeout: TIMEOUT_MS,
  });
  if (result.exitCode !== 0) {
    return [
      problem(
        'podman',
        `"podman info" fails: ${(result.stderr || result.shortMessage || '').trim()}`,
        'install Podman 4.3 or later and see that "podman info" works for this user',
      ),
    ];
  }
  try {
    return judgePodman(podmanInfo.parse(JSON.parse(result.stdout)), waitKillable, around);
  } catch {
    return [
      problem(
        'podman',
        '"podman info" tells nothing that is understood',
        'install Podman 4.3 or later',
      ),
    ];
  }
}

export function judgePodman(
  { host, version }: PodmanInfo,
  waitKillable: WaitKillable,
  around: RootSurroundings,
): Finding[] {
  const { name, version: runtimeText } = host.ociRuntime;
  const runtime = /version ([0-9][^\s]*)/.exec(runtimeText)?.[1] ?? '0';
  return [
    atLeast(version.Version, '4.3')
      ? ok('podman', `Podman ${version.Version}`)
      : problem('podman', `Podman ${version.Version} is too old`, 'install Podman 4.3 or later'),
    judgeRoot(host.security.rootless, around),
    host.cgroupVersion === 'v2'
      ? ok('podman.cgroups', 'cgroups v2')
      : warning(
          'podman.cgroups',
          `cgroups ${host.cgroupVersion}`,
          'boot with systemd.unified_cgroup_hierarchy=1',
        ),
    judgeRuntime(name, runtime),
    ...judgeWaitKillable(name, runtime, waitKillable),
    judgeNetworks(host.pasta, host.slirp4netns),
  ];
}

function judgeRoot(rootless: boolean, around: RootSurroundings): Finding {
  if (rootless) return ok('podman.rootless', 'Podman runs without root');
  if (around.powerless) {
    return problem(
      'podman.rootless',
      'Podman runs as root here and without CAP_SYS_ADMIN, so it can mount nothing and starts no container',
      around.container
        ? 'start the outer container with --cap-add=sys_admin,net_admin,mknod, or run Podman and sockswitch in it as an ordinary user (docs/nesting.md)'
        : 'run sockswitch and Podman as an ordinary user, or as root with all capabilities',
    );
  }
  if (around.userNamespace)
    return ok('podman.rootless', 'Podman runs as the root of a user namespace');
  // What an engine gives a container is the only user that it has.
  if (around.container) {
    return note(
      'podman.rootless',
      `Podman runs as root in a container: ${ROOT_NETWORKS} (docs/nesting.md)`,
    );
  }
  return warning(
    'podman.rootless',
    `Podman runs as root here: ${ROOT_NETWORKS}`,
    'run sockswitch and Podman as an ordinary user, unless that is what you want',
  );
}

function judgeRuntime(name: string, version: string): Finding {
  const oldest: Readonly<Record<string, string>> = { crun: '1.6', runc: '1.1' };
  const needed = oldest[name];
  if (needed === undefined) {
    return warning(
      'podman.runtime',
      `the OCI runtime is ${name}, which was never tried`,
      'set "runtime" in containers.conf to crun or runc, or use --runtime',
    );
  }
  return atLeast(version, needed)
    ? ok('podman.runtime', `${name} ${version}`)
    : problem(
        'podman.runtime',
        `${name} ${version} is too old`,
        `install ${name} ${needed} or later`,
      );
}

function judgeWaitKillable(name: string, version: string, setting: WaitKillable): Finding[] {
  if (setting !== 'always' || name !== 'runc' || atLeast(version, '1.5')) return [];
  return [
    problem(
      'podman.wait-killable',
      `seccomp.wait_killable is "always", and runc ${version} fails every container on it`,
      'set it to "auto", or use crun',
    ),
  ];
}

function judgeNetworks(
  pasta: PodmanInfo['host']['pasta'],
  slirp: PodmanInfo['host']['slirp4netns'],
): Finding {
  const found = [named('pasta', pasta), named('slirp4netns', slirp)].filter((text) => text !== '');
  return found.length > 0
    ? note('podman.networks', `fallback networks: ${found.join(', ')}`)
    : problem(
        'podman.networks',
        'neither pasta nor slirp4netns is installed',
        'install the package passt (or slirp4netns): containers have no network without',
      );
}

/** `pasta 2025_05_03.587980c`: the first line of what the program says of itself. Empty where there is none. */
function named(name: string, found: PodmanInfo['host']['pasta']): string {
  if (!found?.executable) return '';
  const [line = ''] = found.version.split('\n');
  return [name, line.replace(name, '').replace('version', '').trim()].join(' ').trim();
}

/** Whether a dotted version is not before another. */
export function atLeast(version: string, needed: string): boolean {
  const of = (text: string) => text.split('.').map((part) => Number.parseInt(part, 10) || 0);
  const [have, want] = [of(version), of(needed)];
  for (let index = 0; index < want.length; index++) {
    const difference = (have[index] ?? 0) - (want[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
