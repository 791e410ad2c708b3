/**
 * What a container allows this process, where sockswitch itself runs in one (docs/nesting.md); outside, nothing is missing.
 */
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';

/** Those that programs of ours have by their files, with their bits in capability sets (linux/capability.h). */
const CAPABILITY_BITS = { bpf: 39n, net_admin: 12n, net_raw: 13n } as const;
export type Capability = keyof typeof CAPABILITY_BITS;
const CAPABILITIES = Object.keys(CAPABILITY_BITS) as Capability[];
const CAP_SYS_ADMIN = 21n;
const ALL_USERS = '0 0 4294967295';
/** What engines leave in a container's root, and a kubelet in the environment. */
const CONTAINER_FILES = ['/run/.containerenv', '/.dockerenv'];
const POD_VARIABLE = 'KUBERNETES_SERVICE_HOST';
/** What a usual host mounts below /proc. */
const USUAL_MOUNTS = ['/proc/sys/fs/binfmt_misc', '/proc/fs/nfsd', '/proc/xen'];

export interface Surroundings {
  /** In another user namespace than the machine's first. */
  readonly userNamespace: boolean;
  /** In a container, as far as that can be seen. */
  readonly container: boolean;
  /** This process is root without CAP_SYS_ADMIN in its user namespace, and so mounts nothing. */
  readonly powerless: boolean;
  /** What no program here can have, whatever its file says: it is not in the bounding set. */
  readonly withheld: readonly Capability[];
  /** Mounted over parts of /proc: then the kernel lets no user namespace mount another one. */
  readonly coveredProc: readonly string[];
  /** The error of opening /dev/net/tun, such as "ENOENT"; undefined where it can be opened. */
  readonly tunProblem: string | undefined;
}

type Read = (path: string) => string;

export function surroundings(
  read: Read = (path) => readFileSync(path, 'utf8'),
  openTun: () => void = () => closeSync(openSync('/dev/net/tun', 'r+')),
  inContainer: () => boolean = () =>
    CONTAINER_FILES.some((path) => existsSync(path)) || process.env[POD_VARIABLE] !== undefined,
  isRoot: () => boolean = () => process.geteuid?.() === 0,
): Surroundings {
  const text = (path: string): string => {
    try {
      return read(path);
    } catch {
      return '';
    }
  };
  const uidMap = text('/proc/self/uid_map').trim().replace(/\s+/g, ' ');
  const status = text('/proc/self/status');
  const has = (set: 'CapBnd' | 'CapEff', bit: bigint): boolean => {
    const digits = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
    return digits === undefined || ((BigInt(`0x${digits}`) >> bit) & 1n) === 1n;
  };
  return {
    userNamespace: uidMap !== '' && uidMap !== ALL_USERS,
    container: inContainer(),
    powerless: isRoot() && !has('CapEff', CAP_SYS_ADMIN),
    withheld: CAPABILITIES.filter((name) => !has('CapBnd', CAPABILITY_BITS[name])),
    coveredProc: text('/proc/self/mountinfo')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((path) => path.startsWith('/proc/') && !USUAL_MOUNTS.includes(path)),
    tunProblem: errorOf(openTun),
  };
}

function errorOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}
