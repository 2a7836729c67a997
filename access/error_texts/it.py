"""Texts of errors in Italian."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "Non è stato possibile soddisfare la richiesta.",
    "The request is not valid.": "La richiesta non è valida.",
    "The request is larger than allowed.": "La richiesta è più grande di quanto consentito.",
    "You belong to several tenants; say which.": "Appartieni a più organizzazioni; indica quale.",
    "A code of your second factor is needed.": "È necessario un codice del tuo secondo fattore.",
    "Too many failed attempts.": "Troppi tentativi falliti.",
    "The conversation is longer than the context window of the model.": (
        "La conversazione è più lunga della finestra di contesto del modello."
    ),
    "This is not supported.": "Questa funzione non è supportata.",
    "The model's service does not accept this request.": "Il servizio del modello non accetta questa richiesta.",
    "The request contains content that is not allowed.": "La richiesta contiene contenuti non consentiti.",
    "A valid API key or token is required.": "È necessaria una chiave API o un token valido.",
    "This credential does not allow the request.": "Questa credenziale non consente la richiesta.",
    "Requests from this address are not allowed.": "Le richieste da questo indirizzo non sono consentite.",
    "This tenant is suspended.": "Questa organizzazione è sospesa.",
    "Requests from this web page are not allowed.": "Le richieste da questa pagina web non sono consentite.",
    "This chat takes no visitors.": "Questa chat non accetta visitatori.",
    "There is nothing at this address.": "Non c’è nulla a questo indirizzo.",
    "There is no such model.": "Questo modello non esiste.",
    "There is no such session.": "Questa sessione non esiste.",
    "There is no such summary.": "Questo riassunto non esiste.",
    "The tenant has chosen no model for summaries.": "L’organizzazione non ha scelto alcun modello per i riassunti.",
    "There is nothing to sum up yet.": "Non c’è ancora nulla da riassumere.",
    "The session was changed while it was summed up.": "La sessione è stata modificata mentre veniva riassunta.",
    "The model made no summary.": "Il modello non ha prodotto alcun riassunto.",
    "There is no such turn.": "Questo turno non esiste.",
    "This session has no such version, or it is no longer kept.": (
        "Questa sessione non ha tale versione, oppure non è più conservata."
    ),
    "There is no such snapshot.": "Questa istantanea non esiste.",
    "There is a session of this id already.": "Esiste già una sessione con questo identificativo.",
    "There is no such API key.": "Questa chiave API non esiste.",
    "There is no such member.": "Questo membro non esiste.",
    "There is no such invitation.": "Questo invito non esiste.",
    "There is no such address.": "Questo indirizzo non esiste.",
    "There is no such allowance.": "Questa quota non esiste.",
    "There is no such plugin.": "Questo plugin non esiste.",
    "There is no such tenant.": "Questa organizzazione non esiste.",
    "This key is revoked.": "Questa chiave è stata revocata.",
    "This key has ended.": "Questa chiave è scaduta.",
    "This key may do more than you may give.": "Questa chiave può fare più di quanto tu possa concedere.",
    "Your role does not allow changing this member.": "Il tuo ruolo non consente di modificare questo membro.",
    "This invitation is not open any more.": "Questo invito non è più aperto.",
    "It has been accepted: remove the member instead.": "È stato accettato: rimuovi invece il membro.",
    "This model is switched off.": "Questo modello è disattivato.",
    "This model is not in service yet: try again in a second.": (
        "Questo modello non è ancora in servizio: riprova tra un secondo."
    ),
    "This model is the platform's: its operators change it.": (
        "Questo modello è della piattaforma: solo i suoi operatori lo modificano."
    ),
    "Only an operator of the platform may do this.": "Solo un operatore della piattaforma può farlo.",
    "This tenant is being taken off the platform.": "Questa organizzazione sta per essere rimossa dalla piattaforma.",
    "This method is not allowed here.": "Questo metodo non è consentito qui.",
    "The resource was changed meanwhile.": "Nel frattempo la risorsa è stata modificata.",
    "The turn was cancelled.": "Il turno è stato annullato.",
    "The caller's own deadline has passed.": "La scadenza fissata dal chiamante è passata.",
    "Too many turns wait for this session.": "Troppi turni attendono questa sessione.",
    "The previous response was not found.": "La risposta precedente non è stata trovata.",
    "This idempotency key was used with another request.": (
        "Questa chiave di idempotenza è stata usata con un’altra richiesta."
    ),
    "The first request with this idempotency key is still being answered.": (
        "La prima richiesta con questa chiave di idempotenza è ancora in corso."
    ),
    "Too many requests.": "Troppe richieste.",
    "The budget is used up.": "Il budget è esaurito.",
    "The model's service failed.": "Il servizio del modello ha avuto un errore.",
    "The model's service did not answer in time.": "Il servizio del modello non ha risposto in tempo.",
    "The model's service asks to wait.": "Il servizio del modello chiede di attendere.",
    "The service is not available right now.": "Il servizio non è disponibile al momento.",
    "The turn was cut off before its end.": "Il turno è stato interrotto prima della fine.",
    "The audit journal cannot record this request right now.": (
        "Il registro di controllo non può annotare questa richiesta al momento."
    ),
    "A store of the service cannot be reached right now.": "Un archivio del servizio non è raggiungibile al momento.",
    "The service is overloaded.": "Il servizio è sovraccarico.",
    "A plugin that has to take part in this request did not do its work.": (
        "Un plugin che deve partecipare a questa richiesta non ha svolto il suo compito."
    ),
}
