import { expect, test } from 'vitest';
import { UserError } from '../../../src/base/errors.js';
import { processSpec } from '../../../src/oci/spec.js';

const OPTIONS = {
  listenerPath: '/run/user/1000/sockswitch/listener.sock',
  waitKillable: false,
  refuseFastOpen: false,
  machine: 'x64',
};
const ID = '0123456789abcdef'.repeat(4);
const POD = 'fedcba9876543210'.repeat(4);
const REST = `"process":{"rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":1e3}]} , "hostname": "web\\u0021"`;
const NETWORK = `"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/x"}]`;

function spec(annotations: object, linux: string): string {
  return `{ "annotations":${JSON.stringify(annotations)}, ${REST},"linux":{${linux}}}\n`;
}
const ENABLED = { 'sockswitch/enable': 'true' };
const REQUIRED = { ...ENABLED, 'sockswitch/required': 'true' };
const PROFILE = `{"defaultAction":"SCMP_ACT_ERRNO","x-unknown":[1.0],"syscalls":[{"names":["connect"],"action":"SCMP_ACT_ALLOW"},{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":18446744073709551615,"valueTwo":9007199254740993,"op":"SCMP_CMP_EQ"}]}]}`;

function run(text: string) {
  const { result } = processSpec(text, OPTIONS);
  if (result instanceof Error) throw result;
  return result;
}

test('a container that does not ask gets its spec back byte for byte', () => {
  for (const annotations of [{}, { 'sockswitch/enable': 'false' }]) {
    const text = spec(annotations, `${NETWORK}, "seccomp": ${PROFILE}`);
    expect(run(text)).toEqual({ text, accelerated: false, publish: [] });
  }
});

test('only linux.seccomp changes, and numbers beyond 2^53 survive in it', () => {
  const text = spec(ENABLED, `${NETWORK}, "seccomp": ${PROFILE} ,"z":1`);
  const result = run(text);
  expect(result.accelerated).toBe(true);
  const [before, after] = text.split(PROFILE);
  expect(result.text.startsWith(before ?? '')).toBe(true);
  expect(result.text.endsWith(after ?? '')).toBe(true);
  expect(result.text).toContain('"value":18446744073709551615,"valueTwo":9007199254740993');
  expect(result.text).toContain('"x-unknown":[1]');
  expect(JSON.parse(result.text).linux.seccomp.syscalls).toContainEqual(
    expect.objectContaining({ names: ['connect'], action: 'SCMP_ACT_NOTIFY' }),
  );
});

test.each([NETWORK, `${NETWORK},"seccomp":null`, `"seccomp":null,${NETWORK}`])(
  'a spec without seccomp section gets one: %s',
  (linux) => {
    const { linux: result } = JSON.parse(run(spec(ENABLED, linux)).text);
    expect(result.seccomp).toMatchObject({
      defaultAction: 'SCMP_ACT_ALLOW',
      listenerPath: OPTIONS.listenerPath,
    });
    expect(result.namespaces).toHaveLength(2);
  },
);

test('a profile that was seen before comes out the same, and only under the same options', () => {
  const text = spec(ENABLED, `${NETWORK}, "seccomp": ${PROFILE}`);
  const first = run(text);
  expect(run(text)).toEqual(first);
  const other = processSpec(text, { ...OPTIONS, listenerPath: '/other.sock' }).result;
  if (other instanceof Error) throw other;
  expect(other.text).toContain('"/other.sock"');
  expect(other.text).toBe(first.text.replace(OPTIONS.listenerPath, '/other.sock'));
  for (let size = 0; size < 20; size++) {
    const more = PROFILE.replace('"connect"', `"connect","call_${size}"`);
    expect(run(spec(ENABLED, `${NETWORK}, "seccomp": ${more}`)).text).toContain(`"call_${size}"`);
  }
  expect(run(text)).toEqual(first);
});

test('a second run changes nothing', () => {
  const once = run(spec(ENABLED, `${NETWORK}, "seccomp": ${PROFILE}`)).text;
  expect(run(once)).toMatchObject({ text: once, accelerated: true });
});

test("the host's network is left alone, required or not", () => {
  for (const annotations of [ENABLED, REQUIRED]) {
    const text = spec(annotations, `"namespaces":[{"type":"pid"}],"seccomp":${PROFILE}`);
    expect(run(text)).toMatchObject({
      text,
      accelerated: false,
      note: expect.stringContaining('host'),
    });
  }
});

test.each([
  ['{"defaultAction":"SCMP_ACT_ERRNO"}', 'never allows connect'],
  [
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["bind"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}',
    'conditional denials',
  ],
])('a profile that cannot be accelerated: %s', (profile, reason) => {
  const linux = `${NETWORK},"seccomp":${profile}`;
  const text = spec(ENABLED, linux);
  expect(run(text)).toMatchObject({
    text,
    accelerated: false,
    note: expect.stringContaining(reason),
  });
  expect(() => run(spec(REQUIRED, linux))).toThrow(/sockswitch\/required/);
  expect(() => run(spec(REQUIRED, linux))).toThrow(reason);
});

test.each([
  ['', 'not a JSON document'],
  ['{"annotations":', 'not a JSON document'],
  ['[]', 'not an OCI spec'],
  ['null', 'not an OCI spec'],
  ['{"annotations":{"a":1}}', 'annotations.a'],
  [spec(ENABLED, `"namespaces":[{"type":7}]`), 'linux.namespaces.0.type'],
  [spec({ 'sockswitch/enable': 'yes' }, NETWORK), 'sockswitch/enable is "yes"'],
  [spec({ ...ENABLED, 'sockswitch/x': '' }, NETWORK), 'sockswitch/x'],
  [spec(ENABLED, `${NETWORK},"seccomp":{}`), 'defaultAction'],
  [spec(ENABLED, `${NETWORK},"seccomp":[]`), 'linux.seccomp'],
  [
    spec(ENABLED, `${NETWORK},"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}`),
    '"/x"',
  ],
  [
    spec(
      ENABLED,
      `${NETWORK},"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"b","args":[{"index":9,"value":0,"op":"x"}]}]}`,
    ),
    'syscalls.0.args.0.index',
  ],
])('refused: %s', (text, reason) => {
  const { result } = processSpec(text, OPTIONS);
  expect(result).toBeInstanceOf(UserError);
  expect(String(result)).toContain(reason);
  expect(String(result)).not.toContain('\n');
});

test.each([
  [`"cgroupsPath":"user.slice:libpod:${ID}"`, ID],
  [`"cgroupsPath":"/libpod_parent/libpod-${ID}"`, ID],
  [`"cgroupsPath":"user-libpod_pod_${POD}.slice:libpod:${ID}"`, ID],
  [`"cgroupsPath":"/x/${ID}0"`, 'web!'],
  [NETWORK, 'web!'],
])('the container is told by %s', (linux, id) => {
  expect(processSpec(spec({ 'sockswitch/x': '' }, linux), OPTIONS).container).toBe(id);
});

test("the container is told by its own files, not by those of the pod's first one", () => {
  const file = (destination: string, id: string) => ({
    destination,
    source: `/run/overlay-containers/${id}/userdata${destination}`,
  });
  const mounts = [file('/etc/hosts', POD), file('/run/.containerenv', ID)];
  const text = spec({ 'sockswitch/x': '' }, NETWORK).replace(
    '{',
    `{"mounts":${JSON.stringify(mounts)},`,
  );
  expect(processSpec(text, OPTIONS).container).toBe(ID);
});

test('what the spec tells of the network travels in the listener metadata', () => {
  const metadata = (text: string, netns?: string) => {
    const { result } = processSpec(text, { ...OPTIONS, netnsAt: () => netns });
    if (result instanceof Error) throw result;
    expect(result.netns).toBe(netns);
    return JSON.parse(result.text).linux.seccomp.listenerMetadata;
  };
  const text = spec(ENABLED, `${NETWORK},"seccomp":${PROFILE}`);
  expect(metadata(text, '4:7')).toBe(
    'sockswitch/1 {"netns":"4:7","networkAdmin":false,"optionsReported":true}',
  );
  expect(metadata(text)).toBe('sockswitch/1 {"networkAdmin":false,"optionsReported":true}');
  const admin = text.replace(
    '"process":{',
    '"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_NET_ADMIN"]},',
  );
  expect(metadata(admin, '4:7')).toBe(
    'sockswitch/1 {"netns":"4:7","networkAdmin":true,"optionsReported":true}',
  );
  const labelled = (label: string) =>
    metadata(text.replace('"process":{', `"process":{"selinuxLabel":${JSON.stringify(label)},`));
  expect(labelled('system_u:system_r:container_t:s0:c1,c2')).toContain(
    '"socketLabel":"system_u:system_r:container_t:s0:c1,c2"',
  );
  for (const odd of ['', 'a b', 'a\nb', 'x'.repeat(4096)]) {
    expect(labelled(odd)).not.toContain('socketLabel');
  }
  const { result } = processSpec(metadataOf(text, '4:7'), { ...OPTIONS, netnsAt: () => '4:8' });
  expect(result instanceof Error ? '' : result.text).toContain('4:8');
});

function metadataOf(text: string, netns: string): string {
  const { result } = processSpec(text, { ...OPTIONS, netnsAt: () => netns });
  return result instanceof Error ? '' : result.text;
}

test.each([
  ['alone', '"namespaces":[{"type":"pid"},{"type":"network"}]', true],
  ['joins one without devices', NETWORK, false],
])('a port cannot be published without a network: %s', (_, linux, connected) => {
  const text = spec({ ...ENABLED, 'sockswitch/publish': '8080:80' }, linux);
  const { result } = processSpec(text, { ...OPTIONS, isConnected: () => connected });
  expect(result).toBeInstanceOf(UserError);
  expect(String(result)).toContain('--network=none');
});

test('a network that Podman connects later takes ports', () => {
  const linux = '"namespaces":[{"type":"user"},{"type":"network"}]';
  expect(run(spec({ ...ENABLED, 'sockswitch/publish': '8080:80' }, linux)).publish).toHaveLength(1);
});

test('names are reported where TCP ports are published, unless those of the host are asked for', () => {
  const reported = (annotations: object) => {
    const { linux } = JSON.parse(run(spec({ ...ENABLED, ...annotations }, NETWORK)).text);
    const calls = ['getsockname', 'getsockopt'].map((name) =>
      linux.seccomp.syscalls.some(
        (rule: { names: string[]; action: string }) =>
          rule.names.includes(name) && rule.action === 'SCMP_ACT_NOTIFY',
      ),
    );
    expect(new Set(calls).size).toBe(1);
    return calls[0];
  };
  // One after the other, since a rewritten profile is remembered.
  expect(reported({})).toBe(false);
  expect(reported({ 'sockswitch/publish': '8080:80' })).toBe(true);
  expect(reported({ 'sockswitch/publish': '8080:80/udp' })).toBe(false);
  const host = { 'sockswitch/names': 'host' };
  expect(reported({ 'sockswitch/publish': '8080:80', ...host })).toBe(false);
  expect(reported({ 'sockswitch/publish': '8080:80 53:53/udp' })).toBe(true);
});
