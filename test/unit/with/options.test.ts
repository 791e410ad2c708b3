/** The options of `with` as annotations, and as what one `with` passes on to another. */
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { parseAnnotations } from '../../../src/oci/annotations.js';
import { annotationsFor, checkTogether, hostNetworksIn } from '../../../src/with/options.js';
import { readState, withOuter } from '../../../src/with/state.js';

describe('options', () => {
  test('become annotations that the daemon understands', async () => {
    expect(await annotationsFor({})).toEqual({ 'sockswitch/enable': 'true' });
    const annotations = await annotationsFor({
      required: true,
      ignore: ['10.1.2.3/8,fd00::/8', '10.0.0.0/8 192.0.2.7'],
    });
    expect(annotations).toMatchObject({
      'sockswitch/required': 'true',
      'sockswitch/ignore': '10.0.0.0/8 fd00::/8 192.0.2.7/32',
    });
    expect(parseAnnotations(annotations)).toMatchObject({ enabled: true, required: true });
    expect(parseAnnotations(await annotationsFor({ preset: 'kubernetes' })).enabled).toBe(true);
  });

  test('pods', async () => {
    const annotations = await annotationsFor({ preset: 'kubernetes', pods: ['egress'] });
    expect(parseAnnotations(annotations)).toMatchObject({ podsEgress: true, ignoreFirewall: true });
    expect(parseAnnotations(await annotationsFor({ preset: 'kubernetes' })).podsEgress).toBe(false);
    const listed = await annotationsFor({ pods: ['egress,10.20.0.0/16', '192.168.7.1/24'] });
    expect(listed['sockswitch/pods']).toBe('egress 10.20.0.0/16 192.168.7.0/24');
    await expect(annotationsFor({ pods: ['on'] })).rejects.toThrow('--pods is "on": set it to');
    await expect(
      annotationsFor({ preset: 'kubernetes', pods: ['egress,10.96.4.0/24'] }),
    ).rejects.toThrow('--pods lists 10.96.4.0/24, which the ignore list keeps');
  });

  test('tunnels and names', async () => {
    const tunnelsOf = async (more: object) => (await annotationsFor(more))['sockswitch/tunnels'];
    expect(await tunnelsOf({})).toBeUndefined();
    expect(await tunnelsOf({ tunnels: true })).toBe('true');
    expect(await tunnelsOf({ tunnels: 'false', preset: 'kubernetes' })).toBe('false');
    expect(await tunnelsOf({ preset: 'kubernetes' })).toBe('true');
    expect(await tunnelsOf({ tunnels: '8472, 4789' })).toBe('8472 4789');
    for (const bad of ['podman', '0', '65536', ''])
      await expect(tunnelsOf({ tunnels: bad })).rejects.toThrow(`--tunnels is "${bad}"`);
    expect((await annotationsFor({ names: 'host' }))['sockswitch/names']).toBe('host');
  });

  test('a preset has the usual networks of a cluster, or those that are named', async () => {
    const usual = (await annotationsFor({ preset: 'kubernetes' }))['sockswitch/ignore'];
    expect(usual?.split(' ')).toEqual(expect.arrayContaining(['10.244.0.0/16', '10.96.0.0/12']));
    const named = await annotationsFor({
      preset: 'kubernetes',
      podCidr: ['10.1.0.0/16'],
      serviceCidr: ['10.2.0.0/16'],
      ignore: ['10.3.0.0/16'],
    });
    expect(named['sockswitch/ignore']).toBe('10.3.0.0/16 10.1.0.0/16 10.2.0.0/16');
  });

  test('bad ones are named', async () => {
    await expect(annotationsFor({ ignore: ['10.0.0.0/33'] })).rejects.toThrow(
      '--ignore holds "10.0.0.0/33"',
    );
    await expect(annotationsFor({ podCidr: ['10.0.0.0/8'] })).rejects.toThrow(
      '--preset kubernetes',
    );
    await expect(
      annotationsFor({ preset: 'kubernetes', podCidr: ['10.96.4.0/24'] }),
    ).rejects.toThrow(
      'the pod CIDR 10.96.4.0/24 (--pod-cidr) and the service CIDR 10.96.0.0/12 (of the preset) overlap',
    );
    await expect(
      annotationsFor({
        preset: 'kubernetes',
        podCidr: ['10.1.0.0/16'],
        serviceCidr: ['10.2.0.0/16,10.0.0.0/8'],
      }),
    ).rejects.toThrow(
      'the pod CIDR 10.1.0.0/16 (--pod-cidr) and the service CIDR 10.0.0.0/8 (--service-cidr) overlap',
    );
    await expect(
      annotationsFor({ preset: 'kubernetes', serviceCidr: ['10.96.0/16'] }),
    ).rejects.toThrow('--service-cidr holds "10.96.0/16"');
    for (const empty of ['', ' , ']) {
      await expect(annotationsFor({ preset: 'kubernetes', serviceCidr: [empty] })).rejects.toThrow(
        `--service-cidr is "${empty}", which names no network`,
      );
    }
    const many = Array.from({ length: 1025 }, (_, n) => `10.${n >> 8}.${n & 255}.0/24`).join(',');
    await expect(annotationsFor({ ignore: [many] })).rejects.toThrow('1025 entries');
  });
});

test('ignore lists are limited, and held against pods, together', async () => {
  const many = Array.from({ length: 1025 }, (_, n) => `10.${n >> 8}.${n & 255}.0/24`).join(' ');
  await expect(checkTogether({ 'sockswitch/ignore': many })).rejects.toThrow('1025 entries');
  const both = { 'sockswitch/ignore': '10.0.0.0/8', 'sockswitch/pods': 'egress 10.20.0.0/16' };
  await expect(checkTogether(both)).rejects.toThrow('which the ignore list keeps');
  await checkTogether({ ...both, 'sockswitch/ignore': '192.0.2.7' });
});

test('a network of this host as the cluster’s is named', async () => {
  const everything = await hostNetworksIn({
    preset: 'kubernetes',
    podCidr: ['0.0.0.0/0'],
    serviceCidr: ['fd77::/64'],
  });
  const own = Object.values(networkInterfaces())
    .flat()
    .some((one) => one?.internal === false && one.family === 'IPv4');
  expect(everything).toHaveLength(own ? 1 : 0);
  if (own)
    expect(everything[0]).toMatch(/^--pod-cidr 0\.0\.0\.0\/0 overlaps \S+, this host's network/);
});

test('one with in another: what both ask for', () => {
  const outer = { 'sockswitch/required': 'true', 'sockswitch/ignore': '10.0.0.0/8' };
  const inner = { 'sockswitch/enable': 'true', 'sockswitch/ignore': 'fd00::/8' };
  const configured = { 'sockswitch/ignore': '192.0.2.0/24 10.0.0.0/8' };
  expect(withOuter(inner, configured, JSON.stringify(outer))).toEqual({
    'sockswitch/enable': 'true',
    'sockswitch/required': 'true',
    'sockswitch/ignore': '192.0.2.0/24 10.0.0.0/8 fd00::/8',
  });
  expect(withOuter(inner, {}, '')).toEqual(inner);
  for (const bad of ['', 'x', '[]', '{"a":1}', 'null'])
    expect(() => readState(bad)).toThrow('unset it');
});
