package config

// Size is a number of bytes. In files, flags and the environment it is a number with an optional unit: "64KiB",
// "10MB", "1g".
type Size int64

// FileMode is permission bits. In files, flags and the environment it is octal: "0660", "660", "0o660".
type FileMode uint32
