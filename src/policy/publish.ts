/**
 * The grammar of published ports, as the annotation `sockswitch/publish` has it: that of Podman's `-p`,
 * several of them separated by blanks.
 *
 *   [HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|/udp]      IPv6 addresses in brackets
 *
 * A container port is published once for each protocol: its one listening socket can be bound to one
 * port of the host.
 */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Mapping } from '../addon/addon.js';
import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';

/** Most ports that one container may publish: each is held open twice, by the daemon and the keeper. */
export const MAX_PUBLISHED_PORTS = 1000;

const GRAMMAR = '[HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|/udp]';
const ENTRY =
  /^(?:(?<address>\[[^\]]*\]|[^[\]:]*):)?(?<host>[^:/]*):(?<container>[^:/]*)(?:\/(?<protocol>.*))?$/;

/** Reads a list; `what` names it in messages. Throws UserError. */
export function parsePublish(text: string, what: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const word of text.split(/[ \t\n]+/)) {
    if (word !== '') addEntry(mappings, word, what);
  }
  refuseDuplicates(mappings, what);
  return mappings;
}

/** "127.0.0.1:8080:80/tcp", as the annotation would say it. */
export function mappingText(mapping: Mapping): string {
  const { hostAddress, hostPort, containerPort, protocol } = mapping;
  const address =
    hostAddress === undefined ? '' : `${isIPv6(hostAddress) ? `[${hostAddress}]` : hostAddress}:`;
  return `${address}${hostPort}:${containerPort}/${protocol}`;
}

function addEntry(mappings: Mapping[], word: string, what: string): void {
  const fail: Fail = (why) => {
    throw new UserError(`${what} holds ${quote(word)}: ${why}`);
  };
  if (word.includes(',')) fail('separate entries by blanks');
  const groups = ENTRY.exec(word)?.groups;
  if (groups === undefined) fail(`write ${GRAMMAR}, IPv6 addresses in brackets`);
  const protocol = groups['protocol'] ?? 'tcp';
  if (protocol !== 'tcp' && protocol !== 'udp') {
    fail(`the protocol ${quote(protocol)} is not known: write tcp or udp`);
  }
  const address = hostAddressOf(groups['address'], fail);
  const host = portRange(groups['host'] ?? '', 'host port', fail);
  const container = portRange(groups['container'] ?? '', 'container port', fail);
  const count = host.last - host.first + 1;
  if (container.last - container.first + 1 !== count) {
    fail('the two ranges have different lengths: make them equal');
  }
  if (mappings.length + count > MAX_PUBLISHED_PORTS) {
    fail(`that makes more than ${MAX_PUBLISHED_PORTS} ports: publish fewer`);
  }
  for (let offset = 0; offset < count; offset++) {
    mappings.push({
      protocol,
      ...(address === undefined ? {} : { hostAddress: address }),
      hostPort: host.first + offset,
      containerPort: container.first + offset,
    });
  }
}

type Fail = (why: string) => never;

function hostAddressOf(text: string | undefined, fail: Fail): string | undefined {
  if (text === undefined || text === '') return undefined;
  const bracketed = text.startsWith('[');
  const address = bracketed ? text.slice(1, -1) : text;
  if (!bracketed && isIPv4(address)) return address;
  if (bracketed && isIPv6(address) && !address.includes('%')) {
    const parsed = ipaddr.IPv6.parse(address);
    return parsed.isIPv4MappedAddress()
      ? parsed.toIPv4Address().toString()
      : parsed.toRFC5952String();
  }
  return fail(
    `${quote(text)} is no address of a host: write one such as 127.0.0.1 or [::1], or leave it out for all addresses`,
  );
}

interface Range {
  readonly first: number;
  readonly last: number;
}

function portRange(text: string, name: string, fail: Fail): Range {
  const [first = '', last = first, ...rest] = text.split('-');
  if (rest.length > 0) fail(`${quote(text)} is no range of ports: write FIRST-LAST`);
  const range = { first: port(first, name, fail), last: port(last, name, fail) };
  if (range.last < range.first) fail(`the range ${quote(text)} runs backwards`);
  return range;
}

function port(text: string, name: string, fail: Fail): number {
  if (text === '') return fail(`the ${name} is missing: a number from 1 to 65535 is wanted`);
  const value = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 65535) {
    return fail(`${quote(text)} is no ${name}: write a number from 1 to 65535`);
  }
  return value;
}

function refuseDuplicates(mappings: readonly Mapping[], what: string): void {
  const hosts = new Map<string, Mapping[]>();
  const containers = new Map<string, Mapping>();
  for (const mapping of mappings) {
    const inside = `${mapping.containerPort}/${mapping.protocol}`;
    const before = containers.get(inside);
    if (before !== undefined) {
      throw new UserError(
        `${what} publishes container port ${inside} twice (${mappingText(before)} and ${mappingText(mapping)}): one socket can have one port of the host, so drop one of them, or use podman's -p for it`,
      );
    }
    containers.set(inside, mapping);
    const outside = `${mapping.hostPort}/${mapping.protocol}`;
    const others = hosts.get(outside) ?? [];
    const clash = others.find((other) => overlap(other.hostAddress, mapping.hostAddress));
    if (clash !== undefined) {
      throw new UserError(
        `${what} uses host port ${outside} twice (${mappingText(clash)} and ${mappingText(mapping)}): give each container port a host port of its own`,
      );
    }
    hosts.set(outside, [...others, mapping]);
  }
}

/** Whether two sockets on the same port would be in each other's way. */
export function overlap(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined || one === other) return true;
  if (isIPv4(one) !== isIPv4(other)) return false;
  return [one, other].some((address) => address === '0.0.0.0' || address === '::');
}
