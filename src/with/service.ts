/** What to do where a Podman service does the work, which does not see what `sockswitch with` sets. "it" is the service. */

/** Root's Podman has no hook (docs/nesting.md). */
export const FOR_CONTAINERS =
  'where it is this user’s service, give those containers the annotation sockswitch/enable=true, or start it with "sockswitch with -- podman system service"; root’s takes no notice of annotations';

/** Of a build an annotation is the image's, and what a service builds nobody gives a profile. */
export const FOR_BUILDS =
  'build without it, or, where it is this user’s service on this host, pass --security-opt seccomp=FILE with FILE from "sockswitch profile"';
