import { expect, test } from 'vitest';
import { UserError } from '../../../src/base/errors.js';
import { mappingText, overlap, parsePublish } from '../../../src/policy/publish.js';

const texts = (list: string) => parsePublish(list, 'publish').map(mappingText);

test.each([
  ['8080:80', ['8080:80/tcp']],
  ['8080:80/tcp', ['8080:80/tcp']],
  ['5353:53/udp', ['5353:53/udp']],
  [':8080:80', ['8080:80/tcp']],
  ['127.0.0.1:8080:80', ['127.0.0.1:8080:80/tcp']],
  ['[::1]:8080:80', ['[::1]:8080:80/tcp']],
  ['[FD00:0::0:1]:1:65535', ['[fd00::1]:1:65535/tcp']],
  ['[::ffff:10.0.0.1]:1:2', ['10.0.0.1:1:2/tcp']],
  ['8000-8002:80-82', ['8000:80/tcp', '8001:81/tcp', '8002:82/tcp']],
  [' 1:1\t2:2/udp\n3:3 ', ['1:1/tcp', '2:2/udp', '3:3/tcp']],
  ['53:53 53:53/udp', ['53:53/tcp', '53:53/udp']],
  ['127.0.0.1:80:80 127.0.0.2:80:81', ['127.0.0.1:80:80/tcp', '127.0.0.2:80:81/tcp']],
  ['0.0.0.0:80:80 [::]:80:81', ['0.0.0.0:80:80/tcp', '[::]:80:81/tcp']],
  ['', []],
])('%j', (list, wanted) => expect(texts(list)).toEqual(wanted));

test.each([
  ['80', 'write [HOSTIP:]HOSTPORT'],
  ['8080:', 'the container port is missing'],
  [':80', 'the host port is missing'],
  ['127.0.0.1::80', 'the host port is missing'],
  ['::1:80:80', 'IPv6 addresses in brackets'],
  ['0:80', '"0" is no host port: write a number from 1 to 65535'],
  ['80:0', '"0" is no container port'],
  ['65536:80', '"65536"'],
  ['80:65536', '"65536"'],
  ['+80:80', '"+80"'],
  ['8e1:80', '"8e1"'],
  ['80:80/sctp', 'protocol "sctp" is not known: write tcp or udp'],
  ['80:80/', 'protocol ""'],
  ['80:80/tcp/udp', 'protocol "tcp/udp"'],
  ['8000-8002:80-81', 'different lengths'],
  ['8000-8002:80', 'different lengths'],
  ['8002-8000:82-80', 'runs backwards'],
  ['1-2-3:1-3', 'no range of ports'],
  ['localhost:80:80', '"localhost" is no address'],
  ['[10.0.0.1]:80:80', '"[10.0.0.1]" is no address'],
  ['[fe80::1%eth0]:80:80', 'is no address'],
  ['10.0.0:80:80', '"10.0.0" is no address'],
  ['80:80,81:81', 'separate entries by blanks'],
  ['10000-14999:10000-14999', 'more than 1000 ports'],
  ['8080:80 8081:80', 'container port 80/tcp twice (8080:80/tcp and 8081:80/tcp)'],
  ['8080:80 8080:81', 'host port 8080/tcp twice'],
  ['8000-8010:1-11 127.0.0.1:8005:99', 'host port 8005/tcp twice'],
  ['0.0.0.0:80:80 127.0.0.1:80:81', 'host port 80/tcp twice'],
  ['80:80\u001b[2J', '\\x1b'],
])('%j is refused by value', (list, part) => {
  expect(() => texts(list)).toThrow(UserError);
  expect(() => texts(list)).toThrow(part);
  expect(() => texts(list)).toThrow(/^publish /);
});

test("addresses that are in each other's way", () => {
  expect(overlap(undefined, '10.0.0.1')).toBe(true);
  expect(overlap('::', 'fd00::1')).toBe(true);
  expect(overlap('::', '10.0.0.1')).toBe(false);
  expect(overlap('10.0.0.1', '10.0.0.2')).toBe(false);
});
