-- How many locks an account has: counted at each LOCK they would cost the more, the more there are.
ALTER TABLE accounts ADD COLUMN locks INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET locks = (SELECT count(*) FROM locks WHERE account_id = accounts.id);
