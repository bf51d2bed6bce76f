/** Names of the subjects that cases and targets speak of. */
export const WEFT_PASSTHROUGH = "weft passthrough"
export const WEFT_HBONE = "weft hbone"
