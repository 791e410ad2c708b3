/**
 * What the hook writes into `linux.seccomp.listenerMetadata`: the runtime hands it back with every listener of the
 * container, also after `podman exec`, and the keeper's record holds it, so that each daemon knows what was true
 * before any code of the container ran.
 *
 *   sockswitch/1                                             of `sockswitch profile`: nothing is known
 *   sockswitch/1 {"annotations":{"sockswitch/ignore":"10.0.0.0/8"},...}   of `sockswitch with`, for a build
 *   sockswitch/1 {"netns":"4:4026532000","networkAdmin":true,"optionsReported":true}
 */
import { z } from 'zod';

const VERSION = 'sockswitch/1';

/** An SELinux context: `user:role:type:range`, in a page at most (the kernel takes no longer one). */
export const SELINUX_LABEL = /^[\x21-\x7e]{1,4095}$/;

const schema = z.object({
  /** Identity of the network namespace that Podman made ("DEVICE:INODE"); absent where the runtime makes it. */
  netns: z
    .string()
    .regex(/^\d{1,20}:\d{1,20}$/)
    .optional(),
  /** The container may change its routes (CAP_NET_ADMIN). Not known: false. */
  networkAdmin: z.boolean().default(false),
  /** What a container asks for whose engine hands no annotations to the runtime. The container's own go before them. */
  annotations: z.record(z.string(), z.string()).optional(),
  /** All sockets that it can have come from processes whose rarely set options are reported (foreign-sockets.ts). Not known: false. */
  optionsReported: z.boolean().default(false),
  /** SELinux context of the container's processes, for its sockets; absent without SELinux. */
  socketLabel: z.string().regex(SELINUX_LABEL).optional(),
});
export type ListenerMetadata = z.infer<typeof schema>;

/** Longest metadata that is read, in characters: annotations may take 64 KiB. */
export const MAX_METADATA = 65 * 1024;

/** Of a profile that no hook has completed. */
export const LISTENER_METADATA = VERSION;

export function printMetadata(metadata: ListenerMetadata): string {
  return `${VERSION} ${JSON.stringify(metadata)}`;
}

/** Undefined for what is not ours. */
export function parseMetadata(text: string): ListenerMetadata | undefined {
  if (text === VERSION) return schema.parse({});
  if (!text.startsWith(`${VERSION} `)) return undefined;
  try {
    return schema.safeParse(JSON.parse(text.slice(VERSION.length + 1))).data;
  } catch {
    return undefined;
  }
}
