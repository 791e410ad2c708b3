/**
 * What was denied without the annotation stays denied with it: the OCI spec that the runtime gets, rule by rule, and what
 * system calls answer inside. Rights and namespaces are untouched.
 *
 * A profile decides by call and arguments, so each call of either profile is put to both with every argument that a condition
 * of theirs turns on, and its neighbours.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parseSeccomp, type Seccomp } from '../../src/oci/seccomp-types.js';
import { describeOnLab, host1 } from '../integration/support/lab.js';
import { type Container, ENABLED } from '../integration/support/podman.js';
import { decide } from '../unit/oci/filter-model.js';
import { clearStage, setStage, startTarget } from './support/stage.js';

const ALLOWING = new Set(['ALLOW', 'LOG']);
/** What may become of an allowed call. */
const CHANGES: Readonly<Record<string, string>> = {
  connect: 'NOTIFY',
  bind: 'NOTIFY',
  listen: 'NOTIFY',
  landlock_restrict_self: 'NOTIFY',
  setsockopt: 'NOTIFY',
  socketcall: 'NOTIFY',
  ioctl: 'NOTIFY',
  epoll_create: 'NOTIFY',
  epoll_create1: 'NOTIFY',
  sendto: 'ERRNO 95',
  sendmsg: 'ERRNO 95',
  sendmmsg: 'ERRNO 95',
  io_uring_setup: 'ERRNO 38',
  io_uring_enter: 'ERRNO 38',
  io_uring_register: 'ERRNO 38',
};

const CUSTOM = {
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  syscalls: [
    { names: ['mkdir', 'mkdirat', 'chmod'], action: 'SCMP_ACT_ERRNO', errnoRet: 30 },
    { names: ['sethostname'], action: 'SCMP_ACT_KILL_PROCESS' },
    {
      names: ['socket'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 97,
      args: [{ index: 0, value: 16, op: 'SCMP_CMP_EQ' }],
    },
  ],
};

/** As Podman's own profile is written: rules that hold on some architectures or with some capabilities only. */
const BY_ARCHITECTURE = `jq '.syscalls |= (map(.names -= ["chmod", "fchmodat"]) + [
  {"names": ["chmod"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
  {"names": ["fchmodat"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
  {"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71, "includes": {"caps": ["CAP_SYS_TIME"]}}
])' /usr/share/containers/seccomp.json`;

const ALLOW_LIST = `jq '.defaultErrnoRet = 1 | .defaultErrno = "EPERM" | .syscalls |= map(select(.names != ["socket"]))' /usr/share/containers/seccomp.json`;

const PROFILES = [
  { name: "Podman's default", options: [] },
  { name: 'one with per-architecture rules', options: ['--security-opt', 'seccomp=arches.json'] },
  { name: 'an allow list', options: ['--security-opt', 'seccomp=list.json'] },
  { name: 'a custom deny list', options: ['--security-opt', 'seccomp=custom.json'] },
  { name: 'unconfined', options: ['--security-opt', 'seccomp=unconfined'] },
  { name: '--privileged', options: ['--privileged'] },
  {
    name: 'no_new_privs, no capabilities',
    options: ['--security-opt', 'no-new-privileges', '--cap-drop', 'all'],
  },
] as const;

const specSchema = z.looseObject({
  annotations: z.unknown().optional(),
  hooks: z.unknown().optional(),
  linux: z.looseObject({ seccomp: z.unknown().optional() }),
  mounts: z.array(z.unknown()),
  process: z.looseObject({ env: z.array(z.string()) }),
});

/** The spec as the runtime got it, after the hooks. */
async function specOf(container: Container): Promise<z.infer<typeof specSchema>> {
  const path = await host1.output([
    ...['podman', 'inspect', '--format', '{{.OCIConfigPath}}', container.id],
  ]);
  const text = await host1.output(['cat', path.trim()]);
  return specSchema.parse(JSON.parse(text.replaceAll(container.id, 'ID')));
}

/** Without what differs between any two containers: names, layers, the order of mounts and variables. */
function comparable(spec: z.infer<typeof specSchema>, container: Container): unknown {
  // Podman writes down that hooks ran, as an empty object.
  const { annotations: _annotations, hooks, linux, mounts, process, ...rest } = spec;
  expect(hooks ?? {}).toEqual({});
  const { seccomp: _seccomp, ...others } = linux;
  const { env, ...processRest } = process;
  const byText = (list: readonly unknown[]) => list.map((item) => JSON.stringify(item)).sort();
  const text = JSON.stringify({
    ...{ ...rest, linux: others, process: processRest },
    ...{ env: [...env].sort(), mounts: byText(mounts) },
  });
  return JSON.parse(
    text
      .replaceAll(container.id.slice(0, 12), 'ID')
      .replaceAll(container.name, 'NAME')
      .replace(/overlay\/[0-9a-zA-Z]+/g, 'overlay/LAYER')
      .replace(/netns-[0-9a-f-]+/g, 'netns-NAME'),
  );
}

function profileOf(spec: z.infer<typeof specSchema>): Seccomp {
  const { seccomp } = spec.linux;
  if (seccomp === undefined || seccomp === null) return { defaultAction: 'SCMP_ACT_ALLOW' };
  return parseSeccomp(JSON.stringify(seccomp));
}

/**
 * Podman's profile has two rules for some calls (setns: allowed, and EPERM). Which one holds is the runtime's affair: what counts is
 * that they are the same.
 */
function verdict(profile: Seccomp, name: string, sample: readonly bigint[]): string {
  try {
    return decide(profile, name, sample);
  } catch {
    const rules = (profile.syscalls ?? []).filter(({ names }) => names.includes(name));
    return JSON.stringify(rules.map(({ action, errnoRet, args }) => [action, errnoRet, args]));
  }
}

/** Arguments that tell rules apart: what conditions name, and its neighbours. */
function samples(profiles: readonly Seccomp[], name: string): Set<bigint> {
  const values = new Set([0n, 1n, 0x20000000n]);
  const rules = profiles.flatMap((profile) => profile.syscalls ?? []);
  for (const rule of rules.filter(({ names }) => names.includes(name))) {
    for (const { value, valueTwo } of rule.args ?? []) {
      for (const bits of [value, valueTwo ?? 0]) {
        const number = BigInt(bits);
        for (const sample of [number - 1n, number, number + 1n]) {
          if (sample >= 0n) values.add(sample);
        }
      }
    }
  }
  return values;
}

describeOnLab('the filter of', () => {
  beforeAll(async () => {
    await setStage();
    await host1.sh(
      `${BY_ARCHITECTURE} > arches.json; ${ALLOW_LIST} > list.json; printf %s "$1" > custom.json`,
      [JSON.stringify(CUSTOM)],
    );
  });
  afterAll(clearStage);

  describe.each(PROFILES)('$name', ({ options }) => {
    let plain: Container;
    let accelerated: Container;
    beforeAll(async () => {
      plain = await startTarget({ args: options });
      accelerated = await startTarget({ args: options, annotations: ENABLED });
    });

    test('denies what it denied, and nothing else is changed but what is ours', async () => {
      const before = profileOf(await specOf(plain));
      const after = profileOf(await specOf(accelerated));
      expect(after.listenerPath).toContain('sockswitch');
      const rules = [...(before.syscalls ?? []), ...(after.syscalls ?? [])];
      const names = new Set([...rules.flatMap((rule) => rule.names), 'no such call']);
      const wrong: string[] = [];
      for (const name of names) {
        for (const value of samples([before, after], name)) {
          const sample = Array.from({ length: 6 }, () => value);
          const was = verdict(before, name, sample);
          const is = verdict(after, name, sample);
          if (is === was || (ALLOWING.has(was) && is === CHANGES[name])) continue;
          // Sub-calls that do not exist: 1 to 20 do (linux/net.h).
          if (name === 'socketcall' && (value < 1n || value > 20n)) continue;
          wrong.push(`${name}(${value}): ${was} became ${is}`);
        }
      }
      expect(wrong).toEqual([]);
      const { syscalls: _before, ...otherwise } = before;
      const { syscalls: _after, listenerPath: _path, listenerMetadata: _metadata, ...rest } = after;
      const flags = (rest.flags ?? []).filter((flag) => !flag.endsWith('WAIT_KILLABLE_RECV'));
      expect({ ...rest, architectures: undefined, flags: undefined }).toEqual({
        ...otherwise,
        architectures: undefined,
        flags: undefined,
      });
      expect(flags).toEqual(otherwise.flags ?? []);
      // A profile that names no architecture means the machine's own; no other may come in without our rules.
      expect(rest.architectures ?? []).toEqual(
        expect.arrayContaining([...(otherwise.architectures ?? [])]),
      );
    });

    test('leaves the rest of the spec as it is', async () => {
      expect(comparable(await specOf(accelerated), accelerated)).toEqual(
        comparable(await specOf(plain), plain),
      );
    });

    test('answers calls as before', async () => {
      const scan = async (container: Container) =>
        (await container.output(['/attacks/scan_calls'])).trim().split('\n');
      const before = await scan(plain);
      const after = await scan(accelerated);
      expect(after).toHaveLength(before.length);
      const changed = after.filter((line, index) => line !== before[index]);
      // io_uring_setup, _enter, _register, the same numbers by both doors; socketcall with a sub-call that does not exist;
      // sendto, sendmsg and sendmmsg, since all bits of the flags are set, and MSG_FASTOPEN among them.
      const ours =
        /^(x86_64|i386) 42[567] ENOSYS$|^i386 102 E|^(x86_64 (44|46|307)|i386 (345|369|370)) EOPNOTSUPP$/;
      expect(changed.filter((line) => !ours.test(line))).toEqual([]);
    });

    test('leaves rights and namespaces as they are', async () => {
      const look = async (container: Container) => {
        const status = await container.output([
          'grep',
          '-E',
          '^(Cap|NoNewPrivs|Uid|Gid|Groups)',
          '/proc/self/status',
        ]);
        const namespaces = await container.output(['ls', '/proc/self/ns']);
        const mappings = await container.output([
          'cat',
          '/proc/self/uid_map',
          '/proc/self/gid_map',
        ]);
        const shared = await sharedNamespaces(container);
        return { status, namespaces, mappings, shared };
      };
      expect(await look(accelerated)).toEqual(await look(plain));
    });
  });
});

/** Which namespaces a container shares with its host. */
async function sharedNamespaces(container: Container): Promise<string[]> {
  const list = 'for name in $(ls /proc/self/ns); do readlink /proc/self/ns/$name; done';
  const outside = (await host1.sh(list)).stdout.trim().split('\n');
  const inside = (await container.sh(list)).stdout.trim().split('\n');
  return inside.filter((name) => outside.includes(name)).map((name) => name.replace(/:.*/, ''));
}
