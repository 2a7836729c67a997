"""Texts of errors in French."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "La requête n’a pas pu être traitée.",
    "The request is not valid.": "La requête n’est pas valide.",
    "The request is larger than allowed.": "La requête dépasse la taille autorisée.",
    "You belong to several tenants; say which.": "Vous appartenez à plusieurs clients ; précisez lequel.",
    "A code of your second factor is needed.": "Un code de votre second facteur est nécessaire.",
    "Too many failed attempts.": "Trop de tentatives ont échoué.",
    "The conversation is longer than the context window of the model.": (
        "La conversation est plus longue que la fenêtre de contexte du modèle."
    ),
    "This is not supported.": "Cela n’est pas pris en charge.",
    "The model's service does not accept this request.": "Le service du modèle n’accepte pas cette requête.",
    "The request contains content that is not allowed.": "La requête contient des éléments qui ne sont pas autorisés.",
    "A valid API key or token is required.": "Une clé d’API ou un jeton valide est requis.",
    "This credential does not allow the request.": "Cet identifiant n’autorise pas la requête.",
    "Requests from this address are not allowed.": "Les requêtes provenant de cette adresse ne sont pas autorisées.",
    "This tenant is suspended.": "Ce client est suspendu.",
    "Requests from this web page are not allowed.": "Les requêtes provenant de cette page web ne sont pas autorisées.",
    "This chat takes no visitors.": "Ce chat n’accueille pas de visiteurs.",
    "There is nothing at this address.": "Il n’y a rien à cette adresse.",
    "There is no such model.": "Ce modèle n’existe pas.",
    "There is no such session.": "Cette session n’existe pas.",
    "There is no such summary.": "Ce résumé n’existe pas.",
    "The tenant has chosen no model for summaries.": "Le client n’a choisi aucun modèle pour les résumés.",
    "There is nothing to sum up yet.": "Il n’y a encore rien à résumer.",
    "The session was changed while it was summed up.": "La session a été modifiée pendant son résumé.",
    "The model made no summary.": "Le modèle n’a produit aucun résumé.",
    "There is no such turn.": "Ce tour de conversation n’existe pas.",
    "This session has no such version, or it is no longer kept.": (
        "Cette session n’a pas cette version, ou elle n’est plus conservée."
    ),
    "There is no such snapshot.": "Cet instantané n’existe pas.",
    "There is a session of this id already.": "Une session porte déjà cet identifiant.",
    "There is no such API key.": "Cette clé d’API n’existe pas.",
    "There is no such member.": "Ce membre n’existe pas.",
    "There is no such invitation.": "Cette invitation n’existe pas.",
    "There is no such address.": "Cette adresse n’existe pas.",
    "There is no such allowance.": "Cette allocation n’existe pas.",
    "There is no such plugin.": "Cette extension n’existe pas.",
    "There is no such tenant.": "Ce client n’existe pas.",
    "This key is revoked.": "Cette clé est révoquée.",
    "This key has ended.": "Cette clé a expiré.",
    "This key may do more than you may give.": "Cette clé a plus de droits que vous ne pouvez en accorder.",
    "Your role does not allow changing this member.": "Votre rôle ne permet pas de modifier ce membre.",
    "This invitation is not open any more.": "Cette invitation n’est plus ouverte.",
    "It has been accepted: remove the member instead.": "Elle a été acceptée : retirez plutôt le membre.",
    "This model is switched off.": "Ce modèle est désactivé.",
    "This model is not in service yet: try again in a second.": (
        "Ce modèle n’est pas encore en service : réessayez dans une seconde."
    ),
    "This model is the platform's: its operators change it.": (
        "Ce modèle appartient à la plateforme : seuls ses opérateurs peuvent le modifier."
    ),
    "Only an operator of the platform may do this.": "Seul un opérateur de la plateforme peut faire cela.",
    "This tenant is being taken off the platform.": "Ce client est en cours de retrait de la plateforme.",
    "This method is not allowed here.": "Cette méthode n’est pas autorisée ici.",
    "The resource was changed meanwhile.": "La ressource a été modifiée entre-temps.",
    "The turn was cancelled.": "Le tour de conversation a été annulé.",
    "The caller's own deadline has passed.": "Le délai fixé par l’appelant est dépassé.",
    "Too many turns wait for this session.": "Trop de tours de conversation attendent cette session.",
    "The previous response was not found.": "La réponse précédente est introuvable.",
    "This idempotency key was used with another request.": (
        "Cette clé d’idempotence a été utilisée avec une autre requête."
    ),
    "The first request with this idempotency key is still being answered.": (
        "La première requête avec cette clé d’idempotence est encore en cours de traitement."
    ),
    "Too many requests.": "Trop de requêtes.",
    "The budget is used up.": "Le budget est épuisé.",
    "The model's service failed.": "Le service du modèle a échoué.",
    "The model's service did not answer in time.": "Le service du modèle n’a pas répondu à temps.",
    "The model's service asks to wait.": "Le service du modèle demande de patienter.",
    "The service is not available right now.": "Le service n’est pas disponible pour le moment.",
    "The turn was cut off before its end.": "Le tour de conversation a été interrompu avant sa fin.",
    "The audit journal cannot record this request right now.": (
        "Le journal d’audit ne peut pas enregistrer cette requête pour le moment."
    ),
    "A store of the service cannot be reached right now.": (
        "Un espace de stockage du service est inaccessible pour le moment."
    ),
    "The service is overloaded.": "Le service est surchargé.",
    "A plugin that has to take part in this request did not do its work.": (
        "Une extension indispensable à cette requête n’a pas fait son travail."
    ),
}
