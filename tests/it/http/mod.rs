mod listen;
mod openapi;
mod problems;
mod sessions;
mod tokens;
mod v1;
