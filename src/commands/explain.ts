/** `sockswitch explain CONTAINER DEST[:PORT][/udp] [--pod PID]`. */
import { lookup } from 'node:dns/promises';
import { ControlClient } from '../api/client.js';
import type { Explanation, Nested, TunnelExplanation } from '../api/protocol.js';
import { endpoint } from '../api/tunnel-summary.js';
import { messageOf, UserError } from '../base/errors.js';
import { runtimePaths } from '../base/paths.js';
import { escapeControl, quote } from '../base/text.js';
import { LIST_SERVICES, unlistedService } from '../policy/unlisted-service.js';
import { containerId } from './container.js';
import { type Destination, parseDestination } from './destination.js';
import { nestedText } from './nested.js';
import { print, printJson } from './output.js';

const SENTENCE: Readonly<Record<Explanation['kind'], string>> = {
  switched: 'would be switched to the host',
  fallback: "would go over the container's fallback network",
  passed: 'is not a matter for switching',
};

export async function explain(
  container: string,
  destinationText: string,
  options: { readonly json?: boolean; readonly pod?: string },
): Promise<void> {
  const pod = options.pod === undefined ? {} : { pod: pidOf(options.pod) };
  const destination = parseDestination(destinationText);
  const client = new ControlClient(runtimePaths().controlSocket);
  const id = await containerId(client, container);
  const addresses = await addressesOf(destination);
  const { port, protocol } = destination;
  const explanations = await Promise.all(
    addresses.map((address) => client.explain({ container: id, address, port, protocol, ...pod })),
  );
  if (options.json === true) {
    printJson(destination.numeric ? explanations[0] : explanations);
    return;
  }
  if (!destination.numeric) {
    print(
      `${destination.host} is, as the host resolves it (the container may do so otherwise): ${addresses.join(' ')}`,
    );
  }
  for (const explanation of explanations) print(sentence(explanation));
  const [first] = explanations;
  if (first?.nested !== undefined && options.pod === undefined) print(nestedSentence(first.nested));
  if (first?.unlistedService !== undefined) {
    print(escapeControl(`Warning: ${unlistedService(first.unlistedService)}: ${LIST_SERVICES}.`));
  }
}

function nestedSentence(nested: Nested): string {
  const text = nestedText(nested);
  const others =
    nested.connects > 0
      ? `Nested ones (the pods of a node) are left alone: ${text} so far.`
      : `For nested ones (the pods of a node, ${text} so far) use --pod.`;
  return `This is for the container's own network namespace. ${others}`;
}

function pidOf(text: string): number {
  const pid = /^[0-9]{1,7}$/.test(text) ? Number(text) : 0;
  if (pid > 0 && pid <= 4194304) return pid;
  throw new UserError(
    `--pod is ${quote(text)}: give the PID, on the host, of a process of the pod (ps -e -o pid,args)`,
  );
}

/** One or two sentences on one line: of a tunnel's packets where there is such a tunnel, of a connection otherwise. */
export function sentence(explanation: Explanation): string {
  const { port, protocol, kind, outcome, text, detail, device, tunnel } = explanation;
  const where = endpoint(explanation.address, port);
  if (tunnel !== undefined) return tunnelSentence(where, tunnel);
  const what = protocol === 'udp' ? 'UDP' : 'A connection';
  const by = device === undefined ? '' : ` by ${device}`;
  const rule = detail === '' ? '' : ` (${detail})`;
  return escapeControl(
    `${what} to ${where} ${SENTENCE[kind]}${by}: ${text.replace(/\.$/, '')}${rule}. Rule: ${outcome}.`,
  );
}

function tunnelSentence(where: string, { devices, state, reason, since }: TunnelExplanation) {
  const by = devices.length === 0 ? '' : ` of ${devices.join(', ')}`;
  const what = `Tunnel packets${by} to UDP ${where}`;
  const time = since === undefined ? '' : ` since ${since}`;
  if (state === 'up') return escapeControl(`${what} are carried to the peer's daemon${time}.`);
  const step = state === 'fallback' ? '' : ` (on the way to up: ${state})`;
  const why = reason === '' ? '' : `: ${reason}`;
  return escapeControl(`${what} go over the container's fallback network${step}${time}${why}.`);
}

async function addressesOf(destination: Destination): Promise<string[]> {
  if (destination.numeric) return [destination.host];
  try {
    const found = await lookup(destination.host, { all: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw new UserError(
      `${quote(destination.host)} cannot be resolved on the host (${messageOf(error)}): give an address instead`,
    );
  }
}
