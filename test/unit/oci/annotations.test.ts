import { describe, expect, test } from 'vitest';
import { UserError } from '../../../src/base/errors.js';
import { parseAnnotations } from '../../../src/oci/annotations.js';

test('an empty list of ignored subnets, as Usernetes has it where bypass4netns is not used', () => {
  const empty = { 'nerdctl/bypass4netns': 'false', 'nerdctl/bypass4netns-ignore-subnets': '' };
  expect(parseAnnotations(empty)).toMatchObject({ enabled: false, ignore: [] });
});

test('without our annotations nothing happens', () => {
  expect(parseAnnotations({ 'io.podman/x': 'y' })).toEqual({
    enabled: false,
    required: false,
    ignore: [],
    publish: [],
    ignoreFirewall: false,
    podsEgress: false,
    podsNetworks: [],
    hostNames: false,
    tunnels: 'published',
  });
});

test.each(['1', 't', 'T', 'TRUE', 'true', 'True'])('%s is true', (value) =>
  expect(parseAnnotations({ 'sockswitch/enable': value }).enabled).toBe(true),
);
test.each(['0', 'f', 'F', 'FALSE', 'false', 'False'])('%s is false', (value) =>
  expect(parseAnnotations({ 'sockswitch/enable': value }).enabled).toBe(false),
);
test.each(['', 'yes', 'TrUe', ' true', 'true\n', '2'])('%j is no boolean', (value) => {
  for (const key of ['sockswitch/enable', 'sockswitch/required', 'nerdctl/bypass4netns']) {
    expect(() => parseAnnotations({ [key]: value })).toThrow(UserError);
    expect(() => parseAnnotations({ [key]: value })).toThrow(/set it to "true" or "false"/);
  }
});

test('destinations to ignore', () => {
  const parsed = parseAnnotations({
    'sockswitch/enable': 'true',
    'sockswitch/ignore': '  10.96.0.0/16\tfd00::/8\n192.0.2.1 10.96.0.0/16 ',
  });
  expect(parsed.ignore).toEqual(['10.96.0.0/16', 'fd00::/8', '192.0.2.1/32']);
  expect(parseAnnotations({ 'sockswitch/ignore': '' }).ignore).toEqual([]);
});

test('what was written for bypass4netns', () => {
  const parsed = parseAnnotations({
    'nerdctl/bypass4netns': 'true',
    'nerdctl/bypass4netns-ignore-subnets': '["10.0.0.0/8", "auto", "fd00::/8"]',
    'nerdctl/bypass4netns-ignore-bind': 'true',
  });
  expect(parsed).toEqual({
    enabled: true,
    required: false,
    ignore: ['10.0.0.0/8', 'fd00::/8'],
    publish: [],
    ignoreFirewall: false,
    podsEgress: false,
    podsNetworks: [],
    hostNames: false,
    tunnels: 'published',
  });
});

test('ports to publish', () => {
  const parsed = parseAnnotations({
    'sockswitch/enable': 'true',
    'sockswitch/publish': '8080:80 127.0.0.1:5353:53/udp',
  });
  expect(parsed.publish).toEqual([
    { protocol: 'tcp', hostPort: 8080, containerPort: 80 },
    { protocol: 'udp', hostAddress: '127.0.0.1', hostPort: 5353, containerPort: 53 },
  ]);
});

test('our own annotation wins', () => {
  const both = { 'nerdctl/bypass4netns': 'true', 'sockswitch/enable': 'false' };
  expect(parseAnnotations(both).enabled).toBe(false);
});

test.each([
  ['sockswitch/enabled', 'did you mean "sockswitch/enable"?'],
  [
    'sockswitch/',
    'known: sockswitch/enable, sockswitch/firewall, sockswitch/ignore, sockswitch/names, sockswitch/pods, sockswitch/publish, sockswitch/required',
  ],
  ['sockswitch/something-else', 'remove it'],
  ['sockswitch/a\u001b[2J', '\\x1b[2J'],
])('%j is unknown', (key, part) => {
  expect(() => parseAnnotations({ [key]: 'x' })).toThrow(part);
});

test.each([
  ['sockswitch/ignore', '10.0.0.0/8,fd00::/8', '"10.0.0.0/8,fd00::/8"'],
  ['sockswitch/ignore', '10.0.0.0/99', '"10.0.0.0/99"'],
  ['sockswitch/ignore', 'auto', '"auto"'],
  ['sockswitch/ignore', '\u0000', '"\\x00"'],
  ['sockswitch/ignore', 'x'.repeat(500), 'x…"'],
  ['sockswitch/ignore', '::1 '.repeat(1025), '1025 entries: keep it to 1024'],
  ['sockswitch/ignore', ' '.repeat(64 * 1024 + 1), '65537 bytes'],
  ['nerdctl/bypass4netns-ignore-subnets', '10.0.0.0/8', 'JSON array of strings'],
  ['nerdctl/bypass4netns-ignore-subnets', '[1]', 'JSON array of strings'],
  ['nerdctl/bypass4netns-ignore-subnets', '{}', 'JSON array of strings'],
  ['nerdctl/bypass4netns-ignore-subnets', '["10.0.0.0/99"]', '"auto" is allowed'],
  ['nerdctl/bypass4netns-ignore-bind', 'maybe', '"maybe"'],
  ['sockswitch/publish', '8080', '"8080"'],
  ['sockswitch/publish', '8080:80', 'set sockswitch/enable=true'],
])('%s=%j is refused by name and value', (key, value, part) => {
  expect(() => parseAnnotations({ [key]: value })).toThrow(key);
  expect(() => parseAnnotations({ [key]: value })).toThrow(part);
});

test('a message fits the 400 bytes that the hook can show', () => {
  const hostile = { 'sockswitch/ignore': '\u0000'.repeat(300) };
  let message = '';
  try {
    parseAnnotations(hostile);
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain('sockswitch/ignore');
});

test('all annotations of an accelerated container are bounded', () => {
  const big = { 'io.example/big': 'x'.repeat(64 * 1024) };
  expect(parseAnnotations(big).enabled).toBe(false);
  expect(() => parseAnnotations({ ...big, 'sockswitch/enable': 'true' })).toThrow(/65536/);
});

test('keys of the object prototype are not annotations', () => {
  expect(parseAnnotations(JSON.parse('{"__proto__": "x", "constructor": "y"}')).enabled).toBe(
    false,
  );
});

test('packet filters of the container', () => {
  const firewall = (value: string) =>
    parseAnnotations({ 'sockswitch/enable': 'true', 'sockswitch/firewall': value }).ignoreFirewall;
  expect(firewall('ignore')).toBe(true);
  expect(firewall('respect')).toBe(false);
  expect(() => firewall('off')).toThrow(
    'annotation sockswitch/firewall is "off": set it to "respect" or "ignore"',
  );
});

test('which connections of pods are switched', () => {
  const pods = (value: string) =>
    parseAnnotations({ 'sockswitch/enable': 'true', 'sockswitch/pods': value }).podsEgress;
  expect(pods('egress')).toBe(true);
  expect(pods('none')).toBe(false);
  expect(() => pods('true')).toThrow(
    'annotation sockswitch/pods is "true": set it to "none" or "egress"',
  );
});

describe('networks of pods', () => {
  const networks = (value: string, ignore = '203.0.113.0/24') =>
    parseAnnotations({
      'sockswitch/enable': 'true',
      'sockswitch/pods': value,
      'sockswitch/ignore': ignore,
    }).podsNetworks;

  test('are canonical, each once', () => {
    expect(networks('egress 10.20.3.4/16 10.20.0.0/16  198.51.100.7')).toEqual([
      '10.20.0.0/16',
      '198.51.100.7/32',
    ]);
    expect(networks('egress 10.0.0.0/8', '10.96.0.0/12')).toEqual(['10.0.0.0/8']);
  });

  test.each([
    ['none 10.20.0.0/16', 'is "none 10.20.0.0/16": set it to "none" or "egress"'],
    ['egress,10.20.0.0/16', 'is "egress,10.20.0.0/16": set it to "none" or "egress", which'],
    ['egress 10.20.0.0/33', 'lists "10.20.0.0/33": write IPv4 prefixes'],
    ['egress fd00::/8', 'lists "fd00::/8": IPv6 of pods stays'],
    ['egress 0.0.0.0/0', 'lists "0.0.0.0/0", which is all of IPv4'],
    ['egress 127.0.0.1', 'holds loopback addresses (127.0.0.0/8)'],
    ['egress 169.254.1.0/24', 'holds link-local addresses'],
    ['egress 128.0.0.0/1', 'holds link-local addresses'],
    ['egress 240.0.0.0/4', 'holds multicast and reserved addresses'],
    ['egress 203.0.113.7', 'lists 203.0.113.7/32, which the ignore list keeps'],
    [
      `egress ${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `10.${n}.0.0/16`).join(' ')}`,
      'keep it to 8',
    ],
  ])('%s is refused', (value, message) => {
    expect(() => networks(value)).toThrow('annotation sockswitch/pods ');
    expect(() => networks(value)).toThrow(message);
  });
});

test('whose names services see', () => {
  const hostNames = (value: string) =>
    parseAnnotations({ 'sockswitch/enable': 'true', 'sockswitch/names': value }).hostNames;
  expect(hostNames('host')).toBe(true);
  expect(hostNames('container')).toBe(false);
  expect(() => hostNames('Host')).toThrow(
    'annotation sockswitch/names is "Host": set it to "container" or "host"',
  );
});

test('tunnels to carry', () => {
  const tunnels = (value: string) =>
    parseAnnotations({ 'sockswitch/enable': 'true', 'sockswitch/tunnels': value }).tunnels;
  expect(tunnels('true')).toBe('all');
  expect(tunnels('false')).toBe('none');
  expect(tunnels(' 8472 4789\t8472 ')).toEqual([8472, 4789]);
});

test.each(['', 'yes', '0', '65536', '8472/udp', '8472,4789', '-1', '8472 true'])(
  'sockswitch/tunnels cannot be %j',
  (value) => {
    expect(() => parseAnnotations({ 'sockswitch/tunnels': value })).toThrow(
      /annotation sockswitch\/tunnels is .*: set it to "true", "false", or UDP ports/,
    );
  },
);
