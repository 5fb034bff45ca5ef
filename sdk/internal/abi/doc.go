// Package abi is the lowest layer of the guest API: bytes in, bytes and a status
// out, one function for each import module of ABI 1.
//
// It owns the wasm imports. Every capability is reached through a function of
// its own and through nothing else: no table, no interface, no method set. A
// skill that never calls HTTP therefore holds no reference to the import
// nanoclaw_http_1, the linker drops it, and the module passes admission without
// declaring http. TestImportsFollowUse in package sdk builds skills to prove it.
//
// It must never decode what passes through it. Outside wasm the same functions
// go to the Host that package sdktest installs.
package abi
