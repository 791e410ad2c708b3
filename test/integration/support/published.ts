/** Services on published ports, and clients that ask them who they are to them. */
import { readFileSync } from 'node:fs';
import { eventually, type Host, type Result } from './lab.js';
import { type Container, ENABLED } from './podman.js';

const SERVICE = readFileSync(new URL('../probes/service.py', import.meta.url), 'utf8');

export function publish(list: string): Record<string, string> {
  return { ...ENABLED, 'sockswitch/publish': list };
}

/** A command that runs `probes/service.py`. */
export function service(...words: readonly string[]): string[] {
  return ['python3', '-c', SERVICE, ...words];
}

/** Waits until a container says that it listens. */
export async function listening(container: Container, times = 1): Promise<void> {
  await eventually(`${container.name} to listen`, async () => {
    const { stdout } = await container.logs();
    return stdout.split('listening').length > times ? true : undefined;
  });
}

const ASK = `
import socket, sys
kind, address, port = sys.argv[1:4]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
sock = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
sock.settimeout(10)
try:
    sock.connect((address, int(port)))
    if kind == 'udp': sock.send(b'x' * int(sys.argv[4] if len(sys.argv) > 4 else 1))
    answer = sock.recv(65536).decode().strip()
    print(answer.removeprefix('::ffff:') or 'closed')
except OSError as error:
    print(type(error).__name__)
`;

interface Runs {
  run(argv: readonly string[]): Promise<Result>;
}

/** The client's address as the service sees it, or the name of Python's exception. */
export async function ask(
  from: Host | Container,
  kind: 'tcp' | 'udp',
  address: string,
  port: number,
  ...more: readonly string[]
): Promise<string> {
  const argv = ['python3', '-c', ASK, kind, address, String(port), ...more];
  const runner: Runs = 'exec' in from ? { run: (words) => from.exec(words) } : from;
  return (await runner.run(argv)).stdout.trim();
}

/** An address of a container's eth0 or tap0. */
export async function addressOf(container: Container): Promise<string> {
  const route = await container.output(['ip', '-4', 'route', 'get', '192.0.2.1']);
  return / src ([\d.]+)/.exec(route)?.[1] ?? '';
}
