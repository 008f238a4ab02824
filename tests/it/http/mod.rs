mod listen;
mod openapi;
mod problems;
mod v1;
