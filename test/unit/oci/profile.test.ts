import { expect, test } from 'vitest';
import { makeProfile } from '../../../src/oci/profile.js';

const OPTIONS = {
  listenerPath: '/r/listener.sock',
  waitKillable: false,
  refuseFastOpen: true,
  machine: 'x64',
} as const;
const allow = (names: string[], more: object = {}) => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  ...more,
});
const BASE = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: 38,
  archMap: [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
  ],
  syscalls: [
    allow(['read', 'connect', 'bind', 'listen'], { args: [], includes: {}, excludes: {} }),
    allow(['mount'], { includes: { caps: ['CAP_SYS_ADMIN'] } }),
    allow(['chroot'], { includes: { caps: ['CAP_SYS_CHROOT'] } }),
    allow(['arch_prctl'], { includes: { arches: ['amd64', 'x32'] } }),
    allow(['arm_fadvise64_64'], { includes: { arches: ['arm', 'arm64'] } }),
    allow(['clone3'], { excludes: { caps: ['CAP_SYS_ADMIN'] } }),
    allow(['bpf'], { excludes: { caps: ['CAP_CHOWN'] } }),
    allow(['ptrace'], { includes: { minKernel: '4.8' } }),
  ],
};
const made = (base: object | undefined, form: 'engine' | 'oci') =>
  JSON.parse(makeProfile(base && JSON.stringify(base), form, OPTIONS));

test("an engine's profile keeps what depends on the container", () => {
  const profile = made(BASE, 'engine');
  expect(profile).toMatchObject({ listenerPath: '/r/listener.sock', archMap: BASE.archMap });
  expect(profile.syscalls).toContainEqual({ names: ['bind'], action: 'SCMP_ACT_NOTIFY' });
  expect(profile.syscalls).toContainEqual(BASE.syscalls[1]);
});

test("a runtime's profile has that decided", () => {
  const profile = made(BASE, 'oci');
  expect(profile.architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
  expect(profile.archMap).toBeUndefined();
  const allowed = profile.syscalls
    .filter(({ action }: { action: string }) => action === 'SCMP_ACT_ALLOW')
    .flatMap(({ names }: { names: string[] }) => names);
  expect(allowed.filter((name: string) => name !== 'connect')).toEqual([
    'read',
    'chroot',
    'arch_prctl',
    'clone3',
    'ptrace',
  ]);
  expect(JSON.stringify(profile)).not.toMatch(/includes|excludes/);
});

test('without a base everything else is allowed', () => {
  expect(made(undefined, 'oci').defaultAction).toBe('SCMP_ACT_ALLOW');
});

test.each([
  ['rubbish', 'not a seccomp profile'],
  [JSON.stringify({ ...BASE, syscalls: [allow(['read'])] }), 'never allows connect'],
  [
    JSON.stringify({
      ...BASE,
      syscalls: [allow(['connect'], { includes: { caps: ['CAP_NET_RAW'] } })],
    }),
    'allows connect under conditions',
  ],
  [JSON.stringify({ ...BASE, listenerPath: '/r/listener.sock' }), 'has our rules already'],
  [JSON.stringify({ ...BASE, listenerPath: '/other' }), 'already has the listenerPath "/other"'],
])('%s is no base', (base, message) => {
  expect(() => makeProfile(base, 'engine', OPTIONS)).toThrow(message);
});
