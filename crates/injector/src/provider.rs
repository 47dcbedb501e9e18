//! External providers: Summon's contract, kept strictly.
